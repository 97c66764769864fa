import type { Observer } from './observer.ts'

/** Zeros for numTokens rows. */
export function clearMass({ mass }: Observer, numHeads: number, numTokens: number): void {
  for (const sums of mass) {
    const stride = sums.length / numHeads
    for (let head = 0; head < numHeads; head++) sums.fill(0, head * stride, head * stride + numTokens)
  }
}

/** [numHeads][numTokens] out of a buffer of wider rows, plus what `before` [numHeads][beforeTokens] has. */
export function packMass(
  sums: Float32Array,
  numHeads: number,
  numTokens: number,
  before: Float32Array = new Float32Array(0),
): Float32Array {
  const packed = widenMass(before, numHeads, numTokens)
  const stride = sums.length / numHeads
  for (let head = 0; head < numHeads; head++) {
    for (let at = 0; at < numTokens; at++) {
      packed[head * numTokens + at] = (packed[head * numTokens + at] as number) + (sums[head * stride + at] as number)
    }
  }
  return packed
}

/** A copy of mass [numHeads][fewer] as [numHeads][numTokens], zeros for the rows that it does not have. */
export function widenMass(mass: Float32Array, numHeads: number, numTokens: number): Float32Array {
  const wide = new Float32Array(numHeads * numTokens)
  const stride = mass.length / numHeads
  for (let head = 0; head < numHeads; head++) {
    wide.set(mass.subarray(head * stride, (head + 1) * stride), head * numTokens)
  }
  return wide
}
