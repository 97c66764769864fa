import { roundToHalf } from './float16.ts'

/**
 * A float16 row as it comes back from int8 codes with one scale: scale = largest magnitude / 127 in float32, codes to
 * the nearest whole number, ties to even. A row with a NaN comes back all NaN.
 */
export function roundToInt8Row(row: ArrayLike<number>): Float32Array {
  const values = Float32Array.from(row, roundToHalf)
  const most = values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)
  const scale = Math.fround(most / 127)
  if (scale === 0) return values.fill(0)
  // Codes have no -0: adding 0 turns it into 0.
  return values.map((value) => roundToHalf(Math.fround((roundHalfEven(Math.fround(value / scale)) + 0) * scale)))
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value)
  if (value - floor !== 0.5) return Math.round(value)
  return floor % 2 === 0 ? floor : floor + 1
}
