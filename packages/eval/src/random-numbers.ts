/** Numerical Recipes' linear congruential step, numbers in [0, 1): its high bits are good enough to pick cases. */
export function congruential(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/** The same, begun further on: seeds next to each other then give numbers that have nothing in common. */
export function scattered(seed: number): () => number {
  const next = congruential(Math.imul(seed + 1, 2654435761))
  for (let i = 0; i < 8; i++) next()
  return next
}
