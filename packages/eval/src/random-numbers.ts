/** Numerical Recipes' linear congruential step, numbers in [0, 1): its high bits are good enough to pick cases. */
export function congruential(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
