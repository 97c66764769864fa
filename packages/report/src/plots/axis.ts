/** Whole steps of a log axis inside [low, high]: powers of ten on a long one, down to five steps a decade on a short one. */
export function logTicks(low: number, high: number): number[] {
  for (const steps of [
    [1],
    [1, 3],
    [1, 2, 5],
    [1, 1.5, 2, 3, 5, 7],
    [1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 4, 5, 6, 7, 8, 9],
  ]) {
    const ticks: number[] = []
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      ticks.push(...steps.map((step) => Number(`${step}e${power}`)).filter((tick) => tick >= low && tick <= high))
    }
    if (ticks.length >= 3) return ticks
  }
  return [low, high]
}

/** Zero and steps of three a decade, on both sides of it. */
export function symlogTicks(low: number, high: number): number[] {
  const size = Math.max(Math.abs(low), Math.abs(high))
  const smallest = size > 10 ? 1 : size > 3 ? 0.3 : size / 20
  const positive = logTicks(smallest, size)
  return [...positive.map((tick) => -tick).reverse(), 0, ...positive].filter((tick) => tick >= low && tick <= high)
}

/**
 * Moves labels apart along one axis: the nearest places in the same order, at least `gap` between two of them, inside
 * [low, high] if there is room. Gives a place for each of `places`.
 */
export function spread(places: readonly number[], gap: number, [low, high]: readonly [number, number]): number[] {
  const order = places.map((_, i) => i).sort((a, b) => places[a] - places[b])
  const moved = [...places]
  let least = low
  for (const i of order) {
    moved[i] = Math.max(places[i], least)
    least = moved[i] + gap
  }
  let most = high
  for (const i of order.toReversed()) {
    moved[i] = Math.min(moved[i], most)
    most = moved[i] - gap
  }
  return moved
}
