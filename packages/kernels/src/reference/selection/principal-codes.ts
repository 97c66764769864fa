import type { CodeBits, SegmentIndexContents, VectorBits } from '../../selection.ts'
import { encodePrincipal, type PrincipalSegment, residualsOf } from './encode-principal.ts'
import { estimatePrincipal, principalBound, principalQuery } from './estimate-principal.ts'
import type { HeadCodes, ReadRows } from './head-codes.ts'
import { basisTokens, codeWords, type PrincipalChannel, principalBasis } from './principal-basis.ts'
import { meanOfRows, storeMean } from './stored-vectors.ts'

/** Tokens whose estimates share one bound, as native code works through them. */
const blockTokens = 16

/**
 * Codes in principal channels. The basis is made once, when the segments cover `basisTokens` or more; until then they are
 * pending: nothing of them is held.
 */
export class PrincipalCodes implements HeadCodes {
  readonly #headDim: number
  readonly #codeBits: CodeBits
  readonly #vectorBits: VectorBits
  /** First token after each segment. */
  readonly #ends: number[] = []
  #channels: readonly PrincipalChannel[] = []
  /** As many as there are segments, or none while they are pending. */
  #segments: PrincipalSegment[] = []

  constructor(headDim: number, codeBits: CodeBits, vectorBits: VectorBits) {
    this.#headDim = headDim
    this.#codeBits = codeBits
    this.#vectorBits = vectorBits
  }

  add(read: ReadRows, start: number, end: number): void {
    this.#ends.push(end)
    if (end < basisTokens) return
    if (this.#segments.length === 0) this.#encodeAll(read)
    else this.#segments.push(this.#encode(read(start, end)))
  }

  truncate(numSegments: number): void {
    this.#ends.length = numSegments
    this.#segments.length = this.#numTokens < basisTokens ? 0 : numSegments
  }

  clone(): PrincipalCodes {
    const copy = new PrincipalCodes(this.#headDim, this.#codeBits, this.#vectorBits)
    copy.#ends.push(...this.#ends)
    copy.#channels = this.#channels
    copy.#segments.push(...this.#segments)
    return copy
  }

  /** Nothing while segments are pending. */
  estimate(q: Float32Array, scale: number): Float64Array {
    const query = principalQuery(q, this.#channels)
    return Float64Array.from(this.#segments.flatMap((segment) => estimatePrincipal(segment, q, scale, query)))
  }

  bounds(q: Float32Array, scale: number): Float64Array {
    const query = principalQuery(q, this.#channels)
    const radii = this.#segments.flatMap(({ codes, radius }) => codes.map(() => radius))
    return Float64Array.from(radii, (_, token) => {
      const block = token - (token % blockTokens)
      return principalBound(Math.max(...radii.slice(block, block + blockTokens)), q, scale, query)
    })
  }

  read(): SegmentIndexContents {
    const dim = this.#headDim
    const means = new Float32Array(this.#ends.length * dim)
    const levels = new Float32Array(this.#numTokens * dim)
    const radii = new Float32Array(this.#ends.length).fill(Infinity)
    this.#segments.forEach(({ mean, radius }, s) => {
      means.set(mean, s * dim)
      radii[s] = radius
    })
    this.#segments
      .flatMap((segment) => segment.levels)
      .forEach((level, token) => {
        levels.set(level, token * dim)
      })
    return { means, deviations: new Float32Array(means.length).fill(1), levels, radii }
  }

  /** Codes in 32-bit words, means, a radius and a step a segment; the basis, a step and a zero a coded channel. */
  get bytes(): number {
    if (this.#segments.length === 0) return 0
    const dim = this.#headDim
    const coded = this.#channels.filter(({ bits }) => bits > 0).length
    const basisBytes = 16 * Math.ceil(coded / 16) * (2 * dim + 8)
    const segmentBytes = (dim * this.#vectorBits) / 8 + 4
    return basisBytes + this.#ends.length * segmentBytes + this.#numTokens * 4 * codeWords(this.#codeBits, dim)
  }

  get #numTokens(): number {
    return this.#ends.at(-1) ?? 0
  }

  #encodeAll(read: ReadRows): void {
    const rows = this.#ends.map((end, s) => read(this.#ends[s - 1] ?? 0, end))
    const residuals = rows.flatMap((segment) => residualsOf(segment, this.#meanOf(segment)))
    this.#channels = principalBasis(residuals, this.#codeBits)
    this.#segments = rows.map((segment) => this.#encode(segment))
  }

  #encode(rows: readonly Float32Array[]): PrincipalSegment {
    return encodePrincipal(rows, this.#meanOf(rows), this.#channels)
  }

  #meanOf(rows: readonly Float32Array[]): Float32Array {
    return storeMean(meanOfRows(rows), this.#vectorBits)
  }
}
