export interface Tolerance {
  /** @default 0 */
  readonly absolute?: number
  /** Times the reference's magnitude. @default 0 */
  readonly relative?: number
}

/** Sum of squared errors over sum of squared reference values; 0 for two empty or all-zero arrays. */
export function nmse(actual: ArrayLike<number>, reference: ArrayLike<number>): number {
  checkLengths(actual, reference)
  let error = 0
  let power = 0
  for (let i = 0; i < reference.length; i++) {
    error += (actual[i] - reference[i]) ** 2
    power += reference[i] ** 2
  }
  return error === 0 ? 0 : error / power
}

/** Throws unless |actual - reference| <= absolute + relative * |reference| for every value; equal infinities are close. */
export function assertClose(actual: ArrayLike<number>, reference: ArrayLike<number>, tolerance: Tolerance = {}): void {
  checkLengths(actual, reference)
  const { absolute = 0, relative = 0 } = tolerance
  let worst = -1
  let worstExcess = 0
  for (let i = 0; i < reference.length; i++) {
    if (Object.is(actual[i], reference[i])) continue
    const excess = Math.abs(actual[i] - reference[i]) - (absolute + relative * Math.abs(reference[i]))
    if (excess <= worstExcess) continue
    worst = i
    worstExcess = Number.isNaN(excess) ? Number.POSITIVE_INFINITY : excess
  }
  if (worst < 0) return
  throw new Error(
    `value ${worst} of ${reference.length}: expected ${reference[worst]} within ${absolute} + ${relative} * |value|, ` +
      `got ${actual[worst]}; NMSE ${nmse(actual, reference)}`,
  )
}

/** Throws unless every value has the same bits (as far as float64 tells; NaN equals NaN, 0 and -0 differ). */
export function assertSameBits(actual: ArrayLike<number>, reference: ArrayLike<number>, what = 'values'): void {
  checkLengths(actual, reference)
  for (let i = 0; i < reference.length; i++) {
    if (!Object.is(actual[i], reference[i])) {
      throw new Error(
        `${what}: value ${i} of ${reference.length}: expected ${reference[i]} to the bit, got ${actual[i]}`,
      )
    }
  }
}

function checkLengths(actual: ArrayLike<number>, reference: ArrayLike<number>): void {
  if (actual.length !== reference.length) throw new Error(`expected ${reference.length} values, got ${actual.length}`)
}
