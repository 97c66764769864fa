import type { CodeBits, SegmentIndexContents, VectorBits } from '../../selection.ts'
import { type EncodedSegment, encodeSegment } from './encode-segment.ts'
import { estimateScores } from './estimate-scores.ts'
import { levelOf } from './residual-codes.ts'

export interface SegmentCodesShape {
  readonly numLayers: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly codeBits: CodeBits
  readonly vectorBits: VectorBits
}

/** Reads K rows [start, end) of one (layer, KV head). */
export type ReadKeys = (layer: number, kvHead: number, start: number, end: number) => Float32Array[]

/** Encoded segments of one sequence, all layers and KV heads. */
export class SegmentCodes {
  readonly shape: SegmentCodesShape
  /** First token after each segment. */
  readonly ends: number[] = []
  /** [numLayers * numKvHeads][segments] */
  readonly #rows: EncodedSegment[][]

  constructor(shape: SegmentCodesShape) {
    this.shape = shape
    this.#rows = Array.from({ length: shape.numLayers * shape.numKvHeads }, () => [])
  }

  get numTokens(): number {
    return this.ends.at(-1) ?? 0
  }

  /** Bytes as native code lays them out, without its spare room: channels of vectors 16 at a time, of codes 64. */
  get bytes(): number {
    const { headDim, codeBits, vectorBits } = this.shape
    const segmentBytes = Math.ceil(headDim / 16) * (vectorBits === 16 ? 48 : 24) + 6
    const tokenBytes = Math.ceil(headDim / 64) * 8 * codeBits
    return this.#rows.length * (this.ends.length * segmentBytes + this.numTokens * tokenBytes)
  }

  /** Adds the segment [numTokens, end). */
  add(readKeys: ReadKeys, end: number): void {
    const { numKvHeads, codeBits, vectorBits } = this.shape
    this.#rows.forEach((segments, row) => {
      const keys = readKeys(Math.floor(row / numKvHeads), row % numKvHeads, this.numTokens, end)
      segments.push(encodeSegment(keys, codeBits, vectorBits))
    })
    this.ends.push(end)
  }

  /** Forgets segments that end after numTokens. */
  truncate(numTokens: number): void {
    while (this.numTokens > numTokens) this.ends.pop()
    for (const segments of this.#rows) segments.length = this.ends.length
  }

  clone(): SegmentCodes {
    const copy = new SegmentCodes(this.shape)
    copy.ends.push(...this.ends)
    this.#rows.forEach((segments, row) => {
      copy.#rows[row]!.push(...segments)
    })
    return copy
  }

  segments(layer: number, kvHead: number): readonly EncodedSegment[] {
    return this.#rows[layer * this.shape.numKvHeads + kvHead]!
  }

  /** Estimated scores of tokens [start, end) for one query head q [headDim] of the KV head. */
  estimate(layer: number, kvHead: number, q: Float32Array, scale: number, start: number, end: number): Float64Array {
    const scores = this.segments(layer, kvHead).map((segment) => [
      ...estimateScores(segment, q, scale, this.shape.codeBits),
    ])
    return Float64Array.from(scores.flat().slice(start, end))
  }

  read(layer: number, kvHead: number): SegmentIndexContents {
    const segments = this.segments(layer, kvHead)
    const { codeBits } = this.shape
    return {
      means: Float32Array.from(segments.flatMap(({ mean }) => [...mean])),
      deviations: Float32Array.from(
        segments.flatMap(({ deviationSteps, step }) => Array.from(deviationSteps, (steps) => steps * step)),
      ),
      levels: Float32Array.from(
        segments.flatMap(({ codes }) => codes.flatMap((row) => Array.from(row, (code) => levelOf(code, codeBits)))),
      ),
      radii: Float32Array.from(segments, ({ radius }) => radius),
    }
  }
}
