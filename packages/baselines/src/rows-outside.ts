import type { Span } from '@kvasir/core'

/** How many indices of [start, end) lie outside of the spans, which ascend and do not overlap. */
export function countOutside(spans: readonly Span[], start: number, end: number): number {
  if (end <= start) return 0
  let count = end - start
  for (let at = firstAfter(spans, start); at < spans.length && spans[at].start < end; at++) {
    count -= Math.min(end, spans[at].end) - Math.max(start, spans[at].start)
  }
  return count
}

/** The indices of [start, end) outside of the spans, ascending; at most the first `most`. */
export function indicesOutside(
  spans: readonly Span[],
  start: number,
  end: number,
  most = Number.POSITIVE_INFINITY,
): Int32Array {
  const indices = new Int32Array(Math.min(most, countOutside(spans, start, end)))
  let at = firstAfter(spans, start)
  for (let index = start, filled = 0; filled < indices.length; ) {
    if (at < spans.length && spans[at].start <= index) index = spans[at++].end
    else indices[filled++] = index++
  }
  return indices
}

/** The first span that does not end before `index`. */
function firstAfter(spans: readonly Span[], index: number): number {
  let [low, high] = [0, spans.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (spans[middle].end <= index) low = middle + 1
    else high = middle
  }
  return low
}
