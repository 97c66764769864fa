import type { SegmentIndexShape } from '../../kernel-segment-index.ts'
import type { SegmentIndexContents } from '../../selection.ts'
import { ChannelCodes } from './channel-codes.ts'
import type { HeadCodes } from './head-codes.ts'
import { basisTokens } from './principal-basis.ts'
import { PrincipalCodes } from './principal-codes.ts'

/** Reads K rows [start, end) of one (layer, KV head). */
export type ReadKeys = (layer: number, kvHead: number, start: number, end: number) => Float32Array[]

/** Encoded segments of one sequence, all layers and KV heads. */
export class SegmentCodes {
  readonly shape: SegmentIndexShape
  /** First token after each segment. */
  readonly ends: number[] = []
  /** [numLayers * numKvHeads] */
  readonly #heads: HeadCodes[]

  constructor(shape: SegmentIndexShape, heads?: HeadCodes[]) {
    const { numLayers, numKvHeads, headDim, codeBits, vectorBits, basis } = shape
    const make = (): HeadCodes =>
      basis === 'principal' ? new PrincipalCodes(headDim, codeBits, vectorBits) : new ChannelCodes(codeBits, vectorBits)
    this.shape = shape
    this.#heads = heads ?? Array.from({ length: numLayers * numKvHeads }, make)
  }

  get numTokens(): number {
    return this.ends.at(-1) ?? 0
  }

  /** True while principal channels are not known: there are no estimates. */
  get pending(): boolean {
    return this.shape.basis === 'principal' && this.numTokens < basisTokens
  }

  /** As native code lays it out, without its spare room: what the heads hold, and where segments end. */
  get bytes(): number {
    return this.#heads.reduce((sum, head) => sum + head.bytes, 4 * this.ends.length)
  }

  /** Adds the segment [numTokens, end). */
  add(readKeys: ReadKeys, end: number): void {
    const { numKvHeads } = this.shape
    this.#heads.forEach((head, row) => {
      const read = (from: number, to: number) => readKeys(Math.floor(row / numKvHeads), row % numKvHeads, from, to)
      head.add(read, this.numTokens, end)
    })
    this.ends.push(end)
  }

  /** Forgets segments that end after numTokens. */
  truncate(numTokens: number): void {
    while (this.numTokens > numTokens) this.ends.pop()
    for (const head of this.#heads) head.truncate(this.ends.length)
  }

  clone(): SegmentCodes {
    const copy = new SegmentCodes(
      this.shape,
      this.#heads.map((head) => head.clone()),
    )
    copy.ends.push(...this.ends)
    return copy
  }

  head(layer: number, kvHead: number): HeadCodes {
    return this.#heads[layer * this.shape.numKvHeads + kvHead]!
  }

  read(layer: number, kvHead: number): SegmentIndexContents {
    return this.head(layer, kvHead).read()
  }
}
