import type { LayerReport } from '@kvasir/core'
import type { EngineParts } from './engine-parts.ts'
import type { PartialWatching } from './partial-programs.ts'
import type { PartialRows, PartialSlice } from './partial-rows.ts'

/** What one layer of a partial prefill showed, gathered chunk by chunk. */
export class LayerReports {
  readonly #parts: EngineParts
  readonly #layer: number
  readonly #watching: PartialWatching
  /** [rows][2] of each prompt, as compareKv leaves it. */
  readonly #distances = new Map<PartialRows, Float32Array>()
  /** [numTokens] of each prompt: attention received, summed over heads and computed rows. */
  readonly #mass = new Map<PartialRows, Float32Array>()

  constructor(parts: EngineParts, layer: number, watching: PartialWatching) {
    this.#parts = parts
    this.#layer = layer
    this.#watching = watching
  }

  /** Before a chunk is run. */
  begin(chunk: readonly PartialSlice[]): void {
    if (this.#watching !== 'attention') return
    const { config, contextTokens, programs } = this.#parts
    const { mass } = programs.partial()
    for (const { of } of chunk) {
      for (let head = 0; head < config.numHeads; head++) {
        mass.fill(0, head * contextTokens, head * contextTokens + of.tokens.length)
      }
    }
  }

  /** After a chunk was run. */
  take(chunk: readonly PartialSlice[]): void {
    if (this.#watching === 'nothing') return
    const { distances } = this.#parts.programs.partial()
    let row = 0
    for (const { of, from, to } of chunk) {
      const all = this.#distances.get(of) ?? new Float32Array(of.rows.length * 2)
      this.#distances.set(of, all)
      all.set(distances.subarray(row * 2, (row + to - from) * 2), from * 2)
      row += to - from
      if (this.#watching === 'attention') this.#takeMass(of)
    }
  }

  /** The report of one prompt. lent [numTokens]: 1 for rows that somebody lends. */
  of(one: PartialRows, lent: Uint8Array): LayerReport {
    const { rows } = one
    const found = this.#distances.get(one) as Float32Array
    const distances = Float32Array.from(rows, (row, at) => (lent[row] ? found[at * 2] : Number.POSITIVE_INFINITY))
    const deviations = distances.map((distance, at) => distance / found[at * 2 + 1])
    const scale = 1 / (rows.length * this.#parts.config.numHeads)
    const attention = this.#mass.get(one)?.map((sum) => sum * scale)
    return { layer: this.#layer, rows: { rows }, distances, deviations, ...(attention && { attention }) }
  }

  #takeMass(of: PartialRows): void {
    const { config, contextTokens, programs } = this.#parts
    const { mass } = programs.partial()
    const sums = this.#mass.get(of) ?? new Float32Array(of.tokens.length)
    this.#mass.set(of, sums)
    for (let head = 0; head < config.numHeads; head++) {
      for (let row = 0; row < sums.length; row++) sums[row] += mass[head * contextTokens + row]
    }
  }
}
