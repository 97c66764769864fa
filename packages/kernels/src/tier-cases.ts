import { pageTokens, runsOfIndices } from '@kvasir/core'
import { type Random, seededRandom } from '@kvasir/core/testing'
import { runOnce } from './case-data.ts'
import type { Kernels, KvArena } from './kernels.ts'

const shape = { numLayers: 2, numKvHeads: 2, headDim: 16 }
const numHeads = 4
const contextTokens = 90
const capacityPages = 12

/** An arena that a life of tierCase.contextTokens and some more tokens fits in. */
export const tierCase = { shape, contextTokens, capacityPages }

/** A prompt in chunks, then tokens that read everything, some rows, what a selector chooses. Pages lie in disorder. */
export async function liveOnce(kernels: Kernels, arena: KvArena, random: Random) {
  const outputs: Float32Array[] = []
  for (const [start, end] of [
    [0, 1],
    [1, 40],
    [40, 72],
    [72, contextTokens],
  ] as const) {
    outputs.push(...(await prefillOnce(kernels, arena, random, start, end)))
  }
  const exact = kernels.createExactSelector({ budgetTokens: 24 })
  const index = kernels.createSegmentIndex({ ...shape, basis: 'channels', vectorBits: 16 })
  await index.extend({ arena, pages: pagesOf(contextTokens) }, Int32Array.of(20, 41, 64))
  await index.extend({ arena, pages: pagesOf(contextTokens) }, Int32Array.of(70))
  const segments = kernels.createSegmentSelector({ index, budgetTokens: 24 })
  const { means, levels } = index.read(1, 1)
  outputs.push(means, levels)
  for (let step = 0; step < 12; step++) {
    const context = contextTokens + 1 + step
    const some = Array.from({ length: context }, (_, i) => i).filter(() => random.uniform() < 0.2)
    const choice = [some, 'all', exact, segments][step % 4] as 'all'
    outputs.push(await decodeOnce(kernels, arena, random, context, choice))
  }
  for (const part of ['keys', 'values'] as const) {
    outputs.push(arena.readRows(part, 1, 0, pagesOf(contextTokens), 7, contextTokens))
  }
  const queries = random.normals((numHeads / shape.numKvHeads) * shape.headDim)
  const kv = { arena, pages: pagesOf(contextTokens) }
  outputs.push(kernels.attentionWeights(kv, 0, 1, queries, Int32Array.of(5, 50, 3), 1))
  return { arena, outputs }
}

function pagesOf(context: number): Int32Array {
  return Int32Array.from({ length: Math.ceil(context / pageTokens) }, (_, i) => (i * 5) % capacityPages)
}

function slotOf(index: number): number {
  return pagesOf(index + 1)[Math.floor(index / pageTokens)]! * pageTokens + (index % pageTokens)
}

function writeOp(arena: KvArena, random: Random, layer: number, start: number, end: number) {
  const values = (end - start) * shape.numKvHeads * shape.headDim
  const [keys, rowValues] = [random.normals(values), random.normals(values)]
  const slots = Int32Array.from({ length: end - start }, (_, i) => slotOf(start + i))
  return { kind: 'writeKv' as const, arena, layer, keys, values: rowValues, slots, rows: end - start }
}

export async function writeRows(
  kernels: Kernels,
  arena: KvArena,
  layer: number,
  slots: readonly number[],
  value: number,
) {
  const values = new Float32Array(slots.length * shape.numKvHeads * shape.headDim).fill(value)
  const op = { kind: 'writeKv' as const, arena, layer, keys: values, values, slots: Int32Array.from(slots) }
  await runOnce(kernels, [{ ...op, rows: slots.length }])
}

function batchOf(rows: number, context: number) {
  const pages = pagesOf(context)
  return {
    rowStarts: Int32Array.of(0, rows),
    contextTokens: Int32Array.of(context),
    pageStarts: Int32Array.of(0, pages.length),
    pages,
  }
}

/** Rows [start, end) of a prompt through all layers; the attention of each. */
export async function prefillOnce(kernels: Kernels, arena: KvArena, random: Random, start: number, end: number) {
  const batch = batchOf(end - start, end)
  const ops = Array.from({ length: shape.numLayers }, (_, layer) => {
    const q = random.normals((end - start) * numHeads * shape.headDim)
    const out = new Float32Array(q.length)
    const mass = new Float32Array(numHeads * contextTokens)
    const fixed = { arena, layer, q, numHeads, scale: 0.25, windowTokens: 0, batch }
    const attend = { kind: 'attendPrefill' as const, ...fixed, out }
    const watch = { kind: 'attentionMass' as const, ...fixed, mass, massStride: contextTokens }
    return [writeOp(arena, random, layer, start, end), attend, watch] as const
  })
  await runOnce(kernels, ops.flat(), { tokens: end - start, sequences: 1 })
  return ops.flatMap(([, { out }, { mass }]) => [out, mass])
}

type Selector = NonNullable<Parameters<ReturnType<Kernels['createProgram']>['run']>[0]['selectors']>[number]

/** Token context - 1 through all layers, reading the given indices or what the selector chooses. */
export async function decodeOnce(
  kernels: Kernels,
  arena: KvArena,
  random: Random,
  context: number,
  choice: readonly number[] | Selector,
  signal?: AbortSignal,
) {
  const batch = batchOf(1, context)
  const lists = kernels.createRunLists(1, shape.numKvHeads, numHeads)
  const selector = Array.isArray(choice) ? 'given' : (choice as Selector)
  if (Array.isArray(choice)) lists.set(0, runsOfIndices(Array.from({ length: shape.numKvHeads }, () => choice)))
  const out = new Float32Array(shape.numLayers * numHeads * shape.headDim)
  const ops = Array.from({ length: shape.numLayers }, (_, layer) => {
    const q = random.normals(numHeads * shape.headDim)
    const fixed = { arena, layer, q, numHeads, scale: 0.25, batch, lists }
    const select = { kind: 'selectRuns' as const, ...fixed, windowTokens: 0 }
    const part = out.subarray(layer * q.length, (layer + 1) * q.length)
    return [
      writeOp(arena, random, layer, context - 1, context),
      select,
      { kind: 'attendRuns' as const, ...fixed, out: part },
    ]
  })
  const program = kernels.createProgram(ops.flat())
  await program.run({ tokens: 1, sequences: 1, selectors: [selector], ...(signal && { signal }) })
  program.dispose()
  lists.dispose()
  return out
}

/** The same step after a prompt, and once more after `times` other ones that are aborted on their way. */
export async function aroundAborted(kernels: Kernels, arena: KvArena, times: number) {
  await prefillOnce(kernels, arena, seededRandom(1), 0, contextTokens)
  const step = (indices: readonly number[], signal?: AbortSignal) =>
    decodeOnce(kernels, arena, seededRandom(2), contextTokens, indices, signal)
  const before = await step([1, 30, 60])
  for (let i = 0; i < times; i++) {
    const stop = new AbortController()
    const running = step([2, i, 61], stop.signal)
    setImmediate(() => stop.abort())
    await running.catch(() => undefined)
  }
  return [before, await step([1, 30, 60])] as const
}
