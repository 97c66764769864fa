import { expect, test } from 'vitest'
import { renderReport } from './render-report.ts'
import { parseResults } from './results.ts'
import { findChromium, visitPage } from './testing/chromium.ts'
import { sampleNeedles, samplePairs, sampleRun, sampleTasks, sampleWindows } from './testing/sample.ts'

const browser = findChromium()
const widthsPixels = [400, 800, 1200]
const policies = ['full', 'oracle', 'snapkv', 'sentence-kv:mode=paper', 'sentence-kv:mode=kvasir', 'random']
const scale = { policies, numCases: 3, budgets: [64, 256] }
const hostile = `<script>alert('${'x'.repeat(60)}')</script>`

const pages = {
  'all suites': [
    ...sampleWindows(scale),
    ...sampleNeedles({ ...scale, lengths: [1024, 4096] }),
    ...sampleTasks(scale),
    ...samplePairs(),
  ],
  'one policy and one case': sampleWindows({ policies: ['window'], budgets: [64], numCases: 1 }),
  'a hostile name': sampleWindows({ policies: ['full', hostile], budgets: [64, 128], numCases: 2 }),
}

test.skipIf(!browser).each(Object.entries(pages))(
  'a browser lays out %s whole, on a phone and on a desk',
  async (_, rows) => {
    const page = renderReport(parseResults(rows, null, sampleRun), {
      command: 'kvasir eval windows --data data',
      data: 'data',
    })
    const { layouts, messages } = await visitPage(browser!, page, widthsPixels)
    expect(messages).toEqual([])
    expect(layouts.map(({ viewportPixels }) => viewportPixels)).toEqual(widthsPixels)
    for (const { viewportPixels, contentPixels, figures, plots, tables, cutTexts, overlaps, numScripts } of layouts) {
      expect(contentPixels).toBe(viewportPixels)
      expect(numScripts).toBe(0)
      expect(figures.length).toBeGreaterThanOrEqual(3)
      expect(tables.length).toBeGreaterThanOrEqual(2)
      expect(plots.length).toBeGreaterThanOrEqual(figures.length)
      for (const { name, width, height, right } of [...figures, ...tables, ...plots]) {
        expect(width, name).toBeGreaterThan(10)
        expect(height, name).toBeGreaterThan(10)
        expect(right, name).toBeLessThanOrEqual(viewportPixels)
      }
      expect(cutTexts).toEqual([])
      expect(overlaps).toEqual([])
    }
  },
  120_000,
)

test.skipIf(!browser)(
  'a page that is too wide, draws nonsense and runs scripts is caught',
  async () => {
    const page = `<!doctype html><html><body><div style="width:900px">wide</div><figure style="height:0"></figure>
<svg role="img" width="20" height="20"><path d="M NaN"></path><text x="-50" y="10">out</text><text x="-48" y="11">too</text></svg>
<script>console.error('a script ran')</script></body></html>`
    const { layouts, messages } = await visitPage(browser!, page, [400])
    expect(messages).toHaveLength(2)
    expect(layouts[0]).toMatchObject({
      viewportPixels: 400,
      figures: [{ height: 0 }],
      cutTexts: ['out', 'too'],
      numScripts: 1,
    })
    expect(layouts[0].contentPixels).toBeGreaterThan(900)
  },
  60_000,
)
