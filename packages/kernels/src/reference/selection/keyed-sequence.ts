// For tests: one sequence in one layer of an arena, whose keys are those of mixedNormals, and choices among its rows.
import { indicesOfRow } from '@kvasir/core'
import type { KeptRows, Kernels, Program, RunLists } from '../../kernels.ts'
import type { SequenceKv } from '../../selection.ts'
import type { CountingSelector } from '../../selector-counts.ts'
import type { TierOptions } from '../../tier-options.ts'
import { mixedNormals } from './test-numbers.ts'

interface SequenceShape {
  readonly numTokens: number
  readonly numKvHeads: number
  readonly numHeads: number
  readonly headDim: number
  readonly tier?: TierOptions
}

export class KeyedSequence {
  readonly kv: SequenceKv
  readonly #select: Program
  readonly #lists: RunLists
  readonly #q: Float32Array
  readonly #contextTokens = Int32Array.of(0)

  private constructor(kernels: Kernels, kv: SequenceKv, numHeads: number) {
    const { numKvHeads, headDim } = kv.arena
    this.kv = kv
    this.#q = new Float32Array(numHeads * headDim)
    this.#lists = kernels.createRunLists(1, numKvHeads)
    const { pages, arena } = kv
    const starts = { rowStarts: Int32Array.of(0, 1), pageStarts: Int32Array.of(0, pages.length) }
    const batch = { ...starts, contextTokens: this.#contextTokens, pages }
    const fixed = { arena, layer: 0, q: this.#q, numHeads, scale: 1 / Math.sqrt(headDim), batch, lists: this.#lists }
    this.#select = kernels.createProgram([{ kind: 'selectRuns', ...fixed, windowTokens: 0 }])
  }

  /** Pages lie in the arena last one first. */
  static async write(kernels: Kernels, { numTokens, numKvHeads, numHeads, headDim, tier }: SequenceShape) {
    const numPages = Math.ceil(numTokens / 16)
    const pages = Int32Array.from({ length: numPages }, (_, i) => numPages - 1 - i)
    const arena = kernels.createArena({
      numLayers: 1,
      numKvHeads,
      headDim,
      capacityPages: numPages,
      ...(tier && { tier }),
    })
    const heads = Array.from({ length: numKvHeads }, (_, head) => mixedNormals(numTokens, headDim, 1 + head))
    const keys = new Float32Array(numTokens * numKvHeads * headDim)
    heads.forEach((rows, head) => {
      rows.forEach((row, token) => {
        keys.set(row, (token * numKvHeads + head) * headDim)
      })
    })
    const slots = Int32Array.from({ length: numTokens }, (_, i) => pages[Math.floor(i / 16)]! * 16 + (i % 16))
    const write = { kind: 'writeKv', arena, layer: 0, keys, values: keys, slots, rows: 'tokens' } as const
    await kernels.createProgram([write]).run({ tokens: numTokens })
    return new KeyedSequence(kernels, { arena, pages }, numHeads)
  }

  /** [numKvHeads] tokens that a query [numHeads][headDim] reads of the first contextTokens, the last of which is its own. */
  async choose(
    selector: CountingSelector,
    q: Float32Array,
    contextTokens: number,
    kept: KeptRows | null = null,
  ): Promise<number[][]> {
    this.#q.set(q)
    this.#contextTokens[0] = contextTokens
    await this.#select.run({ tokens: 1, sequences: 1, selectors: [selector], kept: [kept] })
    return Array.from({ length: this.kv.arena.numKvHeads }, (_, row) => indicesOfRow(this.#lists.get(0), row))
  }
}
