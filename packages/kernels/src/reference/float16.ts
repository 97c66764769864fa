const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)

/** The value of IEEE 754 binary16 bits. */
export function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1
  const exponent = (half >> 10) & 31
  const fraction = half & 1023
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** `value` rounded to binary16: to nearest, ties to even; beyond the range to the largest finite value. */
export function roundToHalf(value: number): number {
  if (Number.isNaN(value)) return value
  const magnitude = Math.abs(value)
  if (magnitude >= 65504) return Math.sign(value) * 65504
  // Adding and taking away a power of two leaves ten bits of fraction (fewer below 2^-14).
  const exponent = Math.max(Math.floor(Math.log2(magnitude)), -14)
  const step = 2 ** (exponent - 10)
  return Math.sign(value) * roundHalfEven(magnitude / step) * step
}

/** The binary16 bits of a value that binary16 holds. */
export function floatToHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const magnitude = Math.abs(value)
  if (Number.isNaN(value)) return 0x7e00
  if (magnitude === Infinity) return sign | 0x7c00
  if (magnitude < 2 ** -14) return sign | (magnitude * 2 ** 24)
  const exponent = Math.floor(Math.log2(magnitude))
  return sign | ((exponent + 15) << 10) | ((magnitude / 2 ** exponent - 1) * 1024)
}

/** The value of bfloat16 bits. */
export function bfloatToFloat(bfloat: number): number {
  bits[0] = bfloat << 16
  return float[0] as number
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  if (rest !== 0.5) return Math.round(value)
  return floor % 2 === 0 ? floor : floor + 1
}
