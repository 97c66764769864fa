/**
 * Vectors of the blocks of one KV head, channel by channel: a query meets all blocks in one sweep a channel, without
 * horizontal sums.
 */
export class BlockPlanes {
  readonly #numPlanes: number
  #capacity: number
  /** [numPlanes][capacity] */
  #data: Float32Array

  constructor(numPlanes: number, from?: BlockPlanes) {
    this.#numPlanes = numPlanes
    this.#capacity = from === undefined ? 0 : from.#capacity
    this.#data = from === undefined ? new Float32Array(0) : from.#data.slice()
  }

  clone(): BlockPlanes {
    return new BlockPlanes(this.#numPlanes, this)
  }

  /** Stores the channels of one block [numPlanes]. */
  put(block: number, channels: Float32Array): void {
    if (block >= this.#capacity) this.#grow(block + 1)
    for (let plane = 0; plane < channels.length; plane++) this.#data[plane * this.#capacity + block] = channels[plane]
  }

  /** scores [numBlocks] = sum over i of weights[i] * plane planes[i]; both have a multiple of 8 entries. */
  weigh(planes: Int32Array, weights: Float32Array, scores: Float32Array, numBlocks: number): void {
    const data = this.#data
    scores.fill(0, 0, numBlocks)
    const size = this.#capacity
    for (let i = 0; i < planes.length; i += 8) {
      const [a, b, c, d] = [planes[i] * size, planes[i + 1] * size, planes[i + 2] * size, planes[i + 3] * size]
      const [e, f, g, h] = [planes[i + 4] * size, planes[i + 5] * size, planes[i + 6] * size, planes[i + 7] * size]
      const [ofA, ofB, ofC, ofD] = [weights[i], weights[i + 1], weights[i + 2], weights[i + 3]]
      const [ofE, ofF, ofG, ofH] = [weights[i + 4], weights[i + 5], weights[i + 6], weights[i + 7]]
      for (let block = 0; block < numBlocks; block++) {
        scores[block] +=
          ofA * data[a + block] +
          ofB * data[b + block] +
          ofC * data[c + block] +
          ofD * data[d + block] +
          (ofE * data[e + block] + ofF * data[f + block] + ofG * data[g + block] + ofH * data[h + block])
      }
    }
  }

  #grow(numBlocks: number): void {
    const capacity = Math.max(16, this.#capacity * 2, numBlocks)
    const data = new Float32Array(this.#numPlanes * capacity)
    for (let plane = 0; plane < this.#numPlanes; plane++) {
      const from = plane * this.#capacity
      data.set(this.#data.subarray(from, from + this.#capacity), plane * capacity)
    }
    this.#capacity = capacity
    this.#data = data
  }
}
