import type { CodeBits, SegmentIndexContents, VectorBits } from '../../selection.ts'
import { type EncodedSegment, encodeSegment } from './encode-segment.ts'
import { estimateScores, segmentDensity } from './estimate-scores.ts'
import type { HeadCodes, ReadRows } from './head-codes.ts'
import { levelOf } from './residual-codes.ts'
import { scoreBound } from './score-bound.ts'

/** Codes of the channels of keys as they are, each segment by its own mean and deviations. */
export class ChannelCodes implements HeadCodes {
  readonly #codeBits: CodeBits
  readonly #vectorBits: VectorBits
  readonly #segments: EncodedSegment[] = []

  constructor(codeBits: CodeBits, vectorBits: VectorBits) {
    this.#codeBits = codeBits
    this.#vectorBits = vectorBits
  }

  add(read: ReadRows, start: number, end: number): void {
    this.#segments.push(encodeSegment(read(start, end), this.#codeBits, this.#vectorBits))
  }

  truncate(numSegments: number): void {
    this.#segments.length = numSegments
  }

  clone(): ChannelCodes {
    const copy = new ChannelCodes(this.#codeBits, this.#vectorBits)
    copy.#segments.push(...this.#segments)
    return copy
  }

  estimate(q: Float32Array, scale: number): Float64Array {
    return Float64Array.from(
      this.#segments.flatMap((segment) => [...estimateScores(segment, q, scale, this.#codeBits)]),
    )
  }

  bounds(q: Float32Array, scale: number): Float64Array {
    const bound = (segment: EncodedSegment) => scoreBound(segment, q, scale, this.#codeBits)
    return Float64Array.from(this.#segments.flatMap((segment) => segment.codes.map(() => bound(segment))))
  }

  densities(q: Float32Array, scale: number): number[] {
    return this.#segments.map((segment) => segmentDensity(segment, q, scale))
  }

  read(): SegmentIndexContents {
    const segments = this.#segments
    const levels = (codes: Uint8Array) => Array.from(codes, (code) => levelOf(code, this.#codeBits))
    return {
      means: Float32Array.from(segments.flatMap(({ mean }) => [...mean])),
      deviations: Float32Array.from(
        segments.flatMap(({ deviationSteps, step }) => Array.from(deviationSteps, (steps) => steps * step)),
      ),
      levels: Float32Array.from(segments.flatMap(({ codes }) => codes.flatMap(levels))),
      radii: Float32Array.from(segments, ({ radius }) => radius),
    }
  }

  /** Channels of vectors 16 at a time, of codes 64. */
  get bytes(): number {
    return this.#segments.reduce((sum, { mean, codes }) => {
      const vectorBytes = Math.ceil(mean.length / 16) * (this.#vectorBits === 16 ? 48 : 24) + 6
      return sum + vectorBytes + codes.length * Math.ceil(mean.length / 64) * 8 * this.#codeBits
    }, 0)
  }
}
