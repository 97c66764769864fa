import { KvasirError, type MovedSpan, pageTokens } from '@kvasir/core'
import type { Kernels, Op, Program } from '@kvasir/kernels'
import { reposition } from '@kvasir/rope'
import type { EngineParts } from './engine-parts.ts'
import type { GraphParts } from './graph.ts'
import type { SequenceState } from './sequence-state.ts'

const rowsAtOnce = 64

/** Writes KV rows of all layers that were read and changed outside. */
export interface RowWriter {
  readonly slots: Int32Array
  /** A layer each: [rowsAtOnce][numKvHeads][headDim] */
  readonly keys: readonly Float32Array[]
  readonly values: readonly Float32Array[]
  readonly program: Program
}

export function createRowWriter({ config, arena }: GraphParts, kernels: Kernels): RowWriter {
  const count = rowsAtOnce * config.numKvHeads * config.headDim
  const layers = () =>
    Array.from({ length: config.numLayers }, () => new Float32Array(kernels.allocate(count * 4), 0, count))
  const slots = new Int32Array(kernels.allocate(rowsAtOnce * 4), 0, rowsAtOnce)
  const [keys, values] = [layers(), layers()]
  const ops = keys.map((rows, layer): Op => {
    return { kind: 'writeKv', arena, layer, keys: rows, values: values[layer] as Float32Array, slots, rows: 'tokens' }
  })
  return { slots, keys, values, program: kernels.createProgram(ops) }
}

/** Physical pages that stand in for logical ones while a step reads moved rows. */
export type StandIns = ReadonlyMap<number, number>

/**
 * Copies the pages of the spans and turns the keys of moved rows there, always from the rows as they were computed.
 * Throws where a span reaches into the page that the current token's row is written to. `releaseStandIns` gives them back.
 */
export async function standIn(
  parts: EngineParts,
  state: SequenceState,
  moved: readonly MovedSpan[],
): Promise<StandIns> {
  const current = Math.floor(state.tokens.length / pageTokens)
  const pages = new Map<number, number>()
  try {
    for (const { start, end, by } of moved) {
      if (by === 0 || start === end) continue
      if (Math.floor((end - 1) / pageTokens) >= current) throw unmovable(end, current)
      for (let page = Math.floor(start / pageTokens); page * pageTokens < end; page++) {
        if (pages.has(page)) continue
        const own = parts.pool.take()
        pages.set(page, own)
        parts.arena.copyPage(state.pages[page] as number, own)
      }
      for (let at = start; at < end; at += rowsAtOnce) {
        await writeTurned(parts, state, pages, at, Math.min(end, at + rowsAtOnce), by)
      }
    }
  } catch (error) {
    releaseStandIns(parts, pages)
    throw error
  }
  return pages
}

export function releaseStandIns({ pool }: EngineParts, pages: StandIns): void {
  for (const page of pages.values()) pool.release(page)
}

async function writeTurned(
  { arena, config, programs }: EngineParts,
  state: SequenceState,
  standIns: StandIns,
  start: number,
  end: number,
  by: number,
): Promise<void> {
  const writer = programs.rowWriter()
  const { numKvHeads, headDim, rope, numLayers } = config
  const pages = Int32Array.from(state.pages)
  const count = end - start
  for (let i = 0; i < count; i++) {
    const index = start + i
    writer.slots[i] = (standIns.get(Math.floor(index / pageTokens)) as number) * pageTokens + (index % pageTokens)
  }
  const [from, to] = [start, start + by]
  for (let layer = 0; layer < numLayers; layer++) {
    for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
      const keys = arena.readRows('keys', layer, kvHead, pages, start, end)
      const values = arena.readRows('values', layer, kvHead, pages, start, end)
      const turned = reposition(keys, rope, { headDim, from, to })
      for (let i = 0; i < count; i++) {
        const at = (i * numKvHeads + kvHead) * headDim
        writer.keys[layer]?.set(turned.subarray(i * headDim, (i + 1) * headDim), at)
        writer.values[layer]?.set(values.subarray(i * headDim, (i + 1) * headDim), at)
      }
    }
  }
  await writer.program.run({ tokens: count })
}

function unmovable(end: number, page: number): KvasirError {
  return new KvasirError({
    parameter: 'selection.moved',
    expected: `rows below ${page * pageTokens}, in pages before the current token's`,
    got: `rows up to ${end}`,
    remedy: 'Move rows only once the sequence is a page longer than the last of them.',
  })
}
