import { PlanError } from './errors.ts'
import type { Span } from './segment.ts'

/** Throws a PlanError unless the spans are not empty, ascend, do not overlap and lie in [0, numTokens). */
export function validateSpans(parameter: string, spans: readonly Span[], numTokens: number): void {
  if (!Array.isArray(spans)) throw new PlanError({ parameter, expected: 'an array of spans', got: spans })
  let at = 0
  spans.forEach((span: Span | undefined, index) => {
    const fits = Number.isInteger(span?.start) && Number.isInteger(span?.end)
    if (fits && span!.start >= at && span!.end > span!.start && span!.end <= numTokens) {
      at = span!.end
      return
    }
    throw new PlanError({
      parameter: `${parameter}[${index}]`,
      expected: `integers start and end with ${at} <= start < end <= ${numTokens}`,
      got: [span?.start, span?.end],
      remedy: 'Sort the spans, join those that overlap (mergeSpans does) and stay inside the sequence.',
    })
  })
}

/** The union of any spans: ascending, not overlapping, not touching, none empty. */
export function mergeSpans(...lists: readonly (readonly Span[])[]): Span[] {
  const merged: { start: number; end: number }[] = []
  for (const { start, end } of lists.flat().sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1)
    if (end <= start) continue
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end)
    else merged.push({ start, end })
  }
  return merged
}

/** What [0, numTokens) holds outside of spans that ascend and do not overlap. */
export function complementSpans(spans: readonly Span[], numTokens: number): Span[] {
  const left: Span[] = []
  let at = 0
  for (const { start, end } of spans) {
    if (start >= numTokens) break
    if (start > at) left.push({ start: at, end: start })
    at = Math.max(at, end)
  }
  if (at < numTokens) left.push({ start: at, end: numTokens })
  return left
}

/** Those of `rows`, which ascend, that lie outside of spans that ascend and do not overlap; `rows` itself where there are no spans. */
export function rowsOutside(rows: Int32Array, spans: readonly Span[]): Int32Array {
  if (spans.length === 0) return rows
  let at = 0
  return rows.filter((row) => {
    while (at < spans.length && spans[at].end <= row) at++
    return at === spans.length || row < spans[at].start
  })
}
