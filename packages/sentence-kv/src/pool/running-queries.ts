/** The queries of the sentence that is being generated, layer by layer, and their sums. */
export class RunningQueries {
  /** Index of the first token whose queries are held. */
  #start = 0
  readonly #layers: { readonly queries: Float32Array[]; readonly sum: Float64Array }[]

  /** widths [numLayers]: numHeads * headDim of each layer. */
  constructor(widths: readonly number[]) {
    this.#layers = widths.map((width) => ({ queries: [], sum: new Float64Array(width) }))
  }

  /** Takes the queries [numHeads][headDim] of token `index`; those of an earlier try of this token are forgotten. */
  add(layer: number, index: number, queries: Float32Array): void {
    const held = this.#layers[layer]
    this.#shorten(layer, index - this.#start)
    held.queries.push(queries.slice())
    for (let i = 0; i < queries.length; i++) held.sum[i] += queries[i]
  }

  /** How many tokens are held. */
  count(layer: number): number {
    return this.#layers[layer].queries.length
  }

  /** [numHeads][headDim]: sum over the tokens held; a view. */
  sum(layer: number): Float64Array {
    return this.#layers[layer].sum
  }

  /** Forgets all; token `start` comes next. */
  reset(start: number): void {
    this.#start = start
    this.#layers.forEach((_, layer) => {
      this.#shorten(layer, 0)
    })
  }

  /** Goes back to the first numTokens tokens of the sequence. What was forgotten before does not come back. */
  truncate(numTokens: number): void {
    this.#start = Math.min(this.#start, numTokens)
    this.#layers.forEach((_, layer) => {
      this.#shorten(layer, numTokens - this.#start)
    })
  }

  clone(): RunningQueries {
    const copy = new RunningQueries(this.#layers.map(({ sum }) => sum.length))
    copy.#start = this.#start
    copy.#layers.forEach(({ queries, sum }, layer) => {
      queries.push(...this.#layers[layer].queries)
      sum.set(this.#layers[layer].sum)
    })
    return copy
  }

  #shorten(layer: number, count: number): void {
    const { queries, sum } = this.#layers[layer]
    if (queries.length <= count) return
    queries.length = count
    sum.fill(0)
    for (const row of queries) for (let i = 0; i < row.length; i++) sum[i] += row[i]
  }
}
