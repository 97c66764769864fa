import { expect, test } from 'vitest'
import { renderReport } from './render-report.ts'
import { parseResults } from './results.ts'
import { markupProblems } from './testing/markup.ts'
import { sampleNeedles, sampleOther, samplePairs, sampleRun, sampleTasks, sampleWindows } from './testing/sample.ts'

const scale = { policies: ['full', 'window', 'random', 'oracle'], budgets: [64, 128], numCases: 2 }
const windows = sampleWindows(scale)
const all = [...windows, ...sampleNeedles({ ...scale, lengths: [1024, 4096] }), ...sampleTasks(scale), ...samplePairs()]
const render = (rows: readonly unknown[], summary: unknown = null) =>
  renderReport(parseResults(rows, summary, sampleRun))
const countOf = (page: string, part: RegExp) => page.match(part)?.length ?? 0

/** Of all suites. */
const results = parseResults(all, null, sampleRun)
const page = renderReport(results)

test('the check of tags finds what is wrong', () => {
  expect(markupProblems('<p>a<b>c</b></p><br>')).toEqual([])
  for (const wrong of ['<p>', '</p>', '<p>a < b</p>', '<b><p></b></p>', '<p a="1" a="2"></p>', '<p a=1></p>']) {
    expect(markupProblems(wrong)).not.toEqual([])
  }
})

test('one page holds a section a suite, whole and well formed', () => {
  expect(markupProblems(page)).toEqual([])
  expect([...page.matchAll(/<h2>(\w+)/g)].map(([, word]) => word)).toEqual([
    'Policies',
    'windows',
    'niah',
    'ruler',
    'pairs',
  ])
  expect(page).not.toMatch(/NaN|undefined|Infinity|\[object/)
})

test('the page fetches nothing and runs nothing', () => {
  expect(page).not.toMatch(/<script|\son\w+="|@import|<iframe/)
  expect([...page.matchAll(/(?:src|href|action)="([^"]*)"/g)].map(([, target]) => target)).toEqual(['data:,'])
  expect([...page.matchAll(/url\(([^)]*)\)/g)].every(([, target]) => target === '#hatch')).toBe(true)
})

test('every plot says what it is, every figure and table has a caption, every table heads', () => {
  expect(countOf(page, /<svg /g)).toBe(countOf(page, /<svg role="img"/g) + 1)
  for (const [plot] of page.matchAll(/<svg role[^>]*>/g)) expect(plot).toMatch(/aria-label="[^"]{8,}"/)
  expect(countOf(page, /<figure/g)).toBe(countOf(page, /<figcaption>[^<]{20}/g))
  expect(countOf(page, /<table/g)).toBe(countOf(page, /<caption>[^<]{10}/g))
  expect(countOf(page, /<tr role="row"><th role="columnheader" scope="col">/g)).toBe(countOf(page, /<table/g))
})

test('names, ids, replies, paths and facts are text, not markup', () => {
  const evil = '<script>alert(1)</script>"\' onload="x'
  const rows = sampleNeedles({ policies: ['full', `window:${evil}`], budgets: [64], lengths: [1024], numCases: 2 })
  const hostile = rows.map((row) => ({
    ...row,
    id: `${row.id}${evil}`,
    reply: evil,
    kind: evil,
    mode: evil,
    note: evil,
  }))
  const extra = { suite: evil, policy: evil, id: evil, length: 1, budget: 1, mode: evil, [evil]: 1 }
  const hostileResults = parseResults([...hostile, extra], null, { model: evil, [evil]: evil })
  const page = renderReport(hostileResults, { command: evil, data: evil })
  expect(markupProblems(page)).toEqual([])
  expect(page).not.toContain('<script')
  expect(page).toContain('&lt;script&gt;alert(1)&lt;/script&gt;')
})

test('the table has mean and interval, and the mean alone for one case', () => {
  const page = render(windows)
  expect(page).toMatch(/data-head="KL, nats"><span>[\d.]+ <small>[\d.]+ to [\d.]+<\/small>/)
  const single = render(sampleWindows({ policies: ['window'], budgets: [64], numCases: 1 }))
  expect(markupProblems(single)).toEqual([])
  expect(single).toMatch(/data-head="KL, nats"><span>[\d.]+<\/span>/)
  expect(single).not.toMatch(/<small>[\d.]+ to/)
})

test('cells that the full cache loses are marked and left out of the pool', () => {
  const lost = sampleNeedles({ ...scale, lengths: [1024] }).map(
    ({ correctFull, ...row }): Record<string, unknown> => ({
      ...row,
      correct: row.kind !== 'multikey' || row.policy !== 'full',
    }),
  )
  const page = render(lost)
  expect(countOf(page, />n\/c</g)).toBe(14)
  expect(page).toContain('<span>10 <small>of 12</small></span>')
  expect(render(lost.filter(({ policy }) => policy !== 'full'))).toContain('Nothing is known of the full cache')
})

test('fields that are missing leave no empty columns, figures or failures', () => {
  const bare = (row: Record<string, unknown>) => {
    const { suite, id, length, policy, budget, mode } = row
    return { suite, id, length, policy, budget, mode }
  }
  const page = render(all.map(bare))
  expect(markupProblems(page)).toEqual([])
  expect(page).not.toContain('<figure')
  expect(page).not.toContain('data-head="KL, nats"')
})

test('a summary without cases gives tables for every suite', () => {
  const page = render(
    [],
    results.groups.map(({ estimates, ...row }) => ({
      ...row,
      ...Object.fromEntries(Object.entries(estimates).map(([name, { mean }]) => [name, mean])),
      ci95: Object.fromEntries(Object.entries(estimates).map(([name, { ci95 }]) => [name, ci95])),
    })),
  )
  expect(markupProblems(page)).toEqual([])
  expect(page).toContain('<h2>niah</h2>')
  expect(countOf(page, /<figure/g)).toBeGreaterThan(0)
})

test('a suite without a section of its own has all its fields in tables that fit a page', () => {
  const page = render(sampleOther())
  expect(page).toContain('(part 2 of 2)')
  expect(page).toContain('data-head="ttft full ms"')
})

test('nothing measured is said so', () => {
  const page = render([])
  expect(markupProblems(page)).toEqual([])
  expect(page).toContain('no results')
})

test('shares of proven and reused choices have a column where a policy has any', () => {
  const few = sampleWindows({ policies: ['full', 'window'], budgets: [64], numCases: 1 })
  const shares = (certified: number) =>
    render(few.map((row) => ({ ...row, certifiedHeadsShare: certified, reusedStepsShare: 0 })))
  expect(shares(0)).not.toMatch(/proven|reused/)
  expect(shares(0.256)).toMatch(/proven choices, %.*25\.6/s)
  expect(shares(0.256)).not.toContain('reused choices')
})

test('pairs have a row a sort and policy, whose facts are given, and a plot of fidelity against work', () => {
  const page = render(samplePairs())
  expect(markupProblems(page)).toEqual([])
  expect(page).toContain('nt, oeb-&gt;twenty')
  expect(page).toContain('swap, number')
  expect(page).toMatch(/data-head="counted"><span>3</)
  expect(page).toMatch(/data-head="donor’s fact, %"><span>0/)
  expect(countOf(page, /aria-label="KL of the full recompute/g)).toBe(1)
  const groups = parseResults(samplePairs(), null).groups
  expect(groups.map(({ kind, n }) => [kind, n])).toEqual([
    ['nt', 4],
    ['swap', 4],
    ['nt', 4],
    ['swap', 4],
  ])
})
