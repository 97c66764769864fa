import type { LayerShape } from '@kvasir/core'

/** Attention that each row of a sequence got, by layer and KV head: softmax weights, summed over queries. */
export class ReceivedAttention {
  readonly #layers: readonly LayerShape[]
  /** [layer][kvHead], each [capacity] */
  readonly #sums: Float32Array[][]

  constructor(layers: readonly LayerShape[], sums: Float32Array[][] = []) {
    this.#layers = layers
    this.#sums = layers.map(({ numKvHeads }, layer) =>
      Array.from({ length: numKvHeads }, (_, kvHead) => sums[layer]?.[kvHead].slice() ?? new Float32Array(0)),
    )
  }

  get bytes(): number {
    return this.#sums.flat().reduce((sum, { byteLength }) => sum + byteLength, 0)
  }

  clone(): ReceivedAttention {
    return new ReceivedAttention(this.#layers, this.#sums)
  }

  of(layer: number, kvHead: number, row: number): number {
    return this.#sums[layer][kvHead][row] ?? 0
  }

  /** Takes mass [numHeads][numTokens] over for the rows from `start` on. */
  set(layer: number, mass: Float32Array, start: number): void {
    const { numHeads, numKvHeads } = this.#layers[layer]
    const [numTokens, group] = [mass.length / numHeads, numHeads / numKvHeads]
    for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
      const sums = this.#reserve(layer, kvHead, numTokens)
      sums.fill(0, start, numTokens)
      for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
        for (let row = start; row < numTokens; row++) sums[row] += mass[head * numTokens + row]
      }
    }
  }

  /** Adds weights [group][rows.length] of one step to the rows from `start` on; rows ascend. */
  add(layer: number, kvHead: number, rows: Int32Array, weights: Float32Array, start: number): void {
    const sums = this.#reserve(layer, kvHead, rows[rows.length - 1] + 1)
    for (let at = rows.length - 1; at >= 0 && rows[at] >= start; at--) {
      for (let of = at; of < weights.length; of += rows.length) sums[rows[at]] += weights[of]
    }
  }

  #reserve(layer: number, kvHead: number, numTokens: number): Float32Array {
    const sums = this.#sums[layer][kvHead]
    if (sums.length >= numTokens) return sums
    const grown = new Float32Array(Math.ceil(numTokens / 256) * 256)
    grown.set(sums)
    this.#sums[layer][kvHead] = grown
    return grown
  }
}
