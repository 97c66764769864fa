import { setImmediate } from 'node:timers/promises'
import { droppedSpans, type KvReader, type LayerShape, type Span } from '@kvasir/core'
import { BlockPlanes } from './block-planes.ts'
import { countOutside, indicesOutside } from './rows-outside.ts'

/** What is known of a block of tokens: a few vectors of headDim channels. */
export interface BlockSummary {
  readonly numVectors: number
  /** How the queries of a KV head choose together. mass: softmax over the blocks, summed. largest: the largest score. */
  readonly join: 'mass' | 'largest'
  /** Writes the vectors [numVectors][headDim] of a block from some of its keys [numRows][headDim]; numRows >= 1. */
  summarise(keys: Float32Array, headDim: number, vectors: Float32Array): void
  /** Which vector a channel of a query is multiplied with, by its value. */
  vectorFor(queryChannel: number): number
}

/** Picks rows of a block [start, end) to summarise, out of those that are held. */
export type RowChoice = (layer: number, kvHead: number, held: Int32Array) => Int32Array

/** Keys that are read between two turns of the event loop. */
const keysATurn = 1024

/** What is known of the blocks of one KV head. */
interface HeadBlocks {
  readonly planes: BlockPlanes
  /** Of each block: rows that were held when it was summarised. */
  readonly heldTokens: number[]
  /** Rows that were dropped by then. */
  dropped: readonly Span[]
}

/** Summaries of the closed blocks of one sequence, for each layer and KV head, made anew where rows of a block were dropped. */
export class BlockIndex {
  readonly blockTokens: number
  readonly #layers: readonly LayerShape[]
  readonly #summary: BlockSummary
  /** [layer][kvHead] */
  readonly #heads: readonly (readonly HeadBlocks[])[]
  #numBlocks = 0

  constructor(layers: readonly LayerShape[], blockTokens: number, summary: BlockSummary, from?: BlockIndex) {
    this.blockTokens = blockTokens
    this.#layers = layers
    this.#summary = summary
    this.#heads = layers.map(({ numKvHeads, headDim }, layer) =>
      Array.from({ length: numKvHeads }, (_, kvHead) => {
        const blocks = from ? from.#heads[layer][kvHead] : undefined
        return {
          planes: blocks?.planes.clone() ?? new BlockPlanes(summary.numVectors * headDim),
          heldTokens: blocks?.heldTokens.slice() ?? [],
          dropped: blocks?.dropped ?? [],
        }
      }),
    )
    this.#numBlocks = from ? from.#numBlocks : 0
  }

  get numBlocks(): number {
    return this.#numBlocks
  }

  get bytes(): number {
    const channels = this.#layers.reduce((sum, { numKvHeads, headDim }) => sum + numKvHeads * headDim, 0)
    return this.#numBlocks * this.#summary.numVectors * channels * Float32Array.BYTES_PER_ELEMENT
  }

  clone(): BlockIndex {
    return new BlockIndex(this.#layers, this.blockTokens, this.#summary, this)
  }

  truncate(numTokens: number): void {
    this.#numBlocks = Math.min(this.#numBlocks, Math.floor(numTokens / this.blockTokens))
  }

  /** Adds the blocks that end within the first numTokens rows, which must stand. */
  async extend(kv: KvReader, numTokens: number, choose: RowChoice = (_layer, _kvHead, held) => held): Promise<void> {
    const end = Math.max(this.#numBlocks, Math.floor(numTokens / this.blockTokens))
    let readKeys = 0
    for (const [layer, heads] of this.#heads.entries()) {
      for (const [kvHead, blocks] of heads.entries()) {
        const dropped = droppedSpans(kv, layer, kvHead)
        const first = this.#firstStale(blocks, dropped)
        blocks.dropped = dropped
        if (first === end) continue
        const start = first * this.blockTokens
        const keys = kv.keys(layer, kvHead, start, end * this.blockTokens)
        for (let block = first; block < end; block++) {
          const held = indicesOutside(dropped, block * this.blockTokens, (block + 1) * this.blockTokens)
          blocks.heldTokens[block] = held.length
          const rows = choose(layer, kvHead, held)
          blocks.planes.put(block, this.#summarise(keys, rows, start, this.#layers[layer].headDim))
        }
        readKeys += (end - first) * this.blockTokens
      }
      if (readKeys < keysATurn) continue
      await setImmediate()
      readKeys = 0
    }
    this.#numBlocks = end
  }

  /**
   * worth [numBlocks]: what each block is worth to the queries [group][headDim] of a KV head, joined as the summary says;
   * -Infinity if all its rows were dropped. `scratch` has room for numBlocks values.
   */
  judge(layer: number, kvHead: number, queries: Float32Array, worth: Float32Array, scratch: Float32Array): void {
    const { headDim } = this.#layers[layer]
    const { planes: ofHead, heldTokens, dropped } = this.#heads[layer][kvHead]
    const width = Math.ceil(headDim / 8) * 8
    const [planes, weights] = [new Int32Array(width), new Float32Array(width)]
    const scale = 1 / Math.sqrt(headDim)
    const join = this.#summary.join === 'mass' ? addSoftmax : keepLargest
    worth.fill(this.#summary.join === 'mass' ? 0 : Number.NEGATIVE_INFINITY, 0, this.#numBlocks)
    for (let query = 0; query < queries.length; query += headDim) {
      for (let i = 0; i < headDim; i++) {
        planes[i] = this.#summary.vectorFor(queries[query + i]) * headDim + i
        weights[i] = queries[query + i] * scale
      }
      ofHead.weigh(planes, weights, scratch, this.#numBlocks)
      if (dropped.length > 0) maskEmpty(scratch, heldTokens, this.#numBlocks)
      join(worth, scratch, this.#numBlocks)
    }
    if (dropped.length > 0) maskEmpty(worth, heldTokens, this.#numBlocks)
  }

  /** The first of the indexed blocks of which rows were dropped since; else the first that is not indexed. */
  #firstStale({ heldTokens, dropped: before }: HeadBlocks, dropped: readonly Span[]): number {
    if (dropped === before) return this.#numBlocks
    for (let block = 0; block < this.#numBlocks; block++) {
      const start = block * this.blockTokens
      if (countOutside(dropped, start, start + this.blockTokens) !== heldTokens[block]) return block
    }
    return this.#numBlocks
  }

  /** Vectors [numVectors][headDim] of the rows, whose keys stand from `start` on in `keys`. */
  #summarise(keys: Float32Array, rows: Int32Array, start: number, headDim: number): Float32Array {
    const vectors = new Float32Array(this.#summary.numVectors * headDim)
    if (rows.length === 0) return vectors
    const of = new Float32Array(rows.length * headDim)
    for (let at = 0; at < rows.length; at++) {
      const from = (rows[at] - start) * headDim
      of.set(keys.subarray(from, from + headDim), at * headDim)
    }
    this.#summary.summarise(of, headDim, vectors)
    return vectors
  }
}

/** A block without rows is no choice, and takes no share of a softmax. */
function maskEmpty(scores: Float32Array, heldTokens: readonly number[], count: number): void {
  for (let block = 0; block < count; block++) if (heldTokens[block] === 0) scores[block] = Number.NEGATIVE_INFINITY
}

function addSoftmax(masses: Float32Array, scores: Float32Array, count: number): void {
  let top = Number.NEGATIVE_INFINITY
  for (let at = 0; at < count; at++) if (scores[at] > top) top = scores[at]
  let total = 0
  for (let at = 0; at < count; at++) {
    scores[at] = Math.exp(scores[at] - top)
    total += scores[at]
  }
  for (let at = 0; at < count; at++) masses[at] += scores[at] / total
}

function keepLargest(largest: Float32Array, scores: Float32Array, count: number): void {
  for (let at = 0; at < count; at++) if (scores[at] > largest[at]) largest[at] = scores[at]
}
