import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What a browser made of a page at one width. */
interface Layout {
  readonly viewportPixels: number
  /** Wider than the viewport where the page scrolls sideways. */
  readonly contentPixels: number
  readonly figures: readonly Box[]
  readonly plots: readonly Box[]
  readonly tables: readonly Box[]
  /** Text of plots that reaches out of its plot. */
  readonly cutTexts: readonly string[]
  /** Pairs of texts of one plot that lie over each other. */
  readonly overlaps: readonly string[]
  readonly numScripts: number
}

interface Box {
  readonly name: string
  readonly width: number
  readonly height: number
  readonly right: number
}

export interface Visit {
  readonly layouts: readonly Layout[]
  /** Errors and warnings of the page on the browser's console. */
  readonly messages: readonly string[]
}

/** CHROME_PATH, else the first browser on PATH; undefined where there is none. */
export function findChromium(): string | undefined {
  const names = [process.env.CHROME_PATH, 'chromium', 'chromium-browser', 'google-chrome']
  return names.find((name) => name && spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0)
}

/**
 * Opens a page in headless Chromium at each width and measures it. The page lies in frames of a second page, whose script
 * does the measuring: it needs no script of its own.
 */
export async function visitPage(browser: string, page: string, widthsPixels: readonly number[]): Promise<Visit> {
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-report-'))
  try {
    const path = join(folder, 'visit.html')
    writeFileSync(path, visitorPage(page, widthsPixels))
    const { dom, log } = await runBrowser(browser, folder, path)
    const measured = /<pre id="measured">(.*?)<\/pre>/s.exec(dom)?.[1]
    if (!measured) throw new Error(`the browser measured nothing:\n${log.slice(-2000)}`)
    const messages = log.split('\n').filter((line) => line.includes(':CONSOLE'))
    return { layouts: JSON.parse(Buffer.from(measured, 'base64').toString()), messages }
  } finally {
    rmSync(folder, { recursive: true, maxRetries: 3 })
  }
}

function runBrowser(browser: string, folder: string, path: string): Promise<{ dom: string; log: string }> {
  const flags = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--disable-quic',
    '--hide-scrollbars',
  ]
  const quiet = ['--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
  const child = spawn(
    browser,
    [
      ...flags,
      ...quiet,
      '--enable-logging=stderr',
      `--user-data-dir=${folder}/profile`,
      '--dump-dom',
      `file://${path}`,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], timeout: 90_000, killSignal: 'SIGKILL' },
  )
  let dom = ''
  let log = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    dom += chunk
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    log += chunk
  })
  return new Promise((done, fail) => {
    child.on('error', fail)
    child.on('close', () => done({ dom, log }))
  })
}

function visitorPage(page: string, widthsPixels: readonly number[]): string {
  const source = page.replaceAll('&', '&amp;').replaceAll('"', '&quot;')
  const frames = widthsPixels.map(
    (width) => `<iframe width="${width}" height="900" style="border:0" srcdoc="${source}"></iframe>`,
  )
  return `<!doctype html><html><body>${frames.join('\n')}<pre id="measured"></pre><script>${measureScript}</script></body></html>`
}

const measureScript = `
addEventListener('load', () => {
  const measure = (page) => {
    const box = (element, name) => {
      const { width, height, right } = element.getBoundingClientRect()
      return { name: (name ?? '').slice(0, 80), width, height, right }
    }
    const all = (selector) => [...page.querySelectorAll(selector)]
    const reachesOut = (text) => {
      const inner = text.getBoundingClientRect()
      const outer = text.closest('svg').getBoundingClientRect()
      return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1
    }
    const overlapsOf = (plot) => {
      const boxes = [...plot.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()])
      return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).flatMap(([b, q]) => {
        const [x, y] = [Math.min(p.right, q.right) - Math.max(p.left, q.left), Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top)]
        return x > 2 && y > 3 ? [a + ' / ' + b] : []
      }))
    }
    return {
      viewportPixels: page.documentElement.clientWidth,
      contentPixels: page.documentElement.scrollWidth,
      figures: all('figure').map((figure) => box(figure, figure.querySelector('figcaption')?.textContent)),
      plots: all('svg[role=img]').map((plot) => box(plot, plot.getAttribute('aria-label'))),
      tables: all('table').map((table) => box(table, table.querySelector('caption')?.textContent)),
      cutTexts: all('svg[role=img] text').filter(reachesOut).map((text) => text.textContent),
      overlaps: all('svg[role=img]').flatMap(overlapsOf),
      numScripts: page.scripts.length,
    }
  }
  const layouts = [...document.querySelectorAll('iframe')].map((frame) => measure(frame.contentDocument))
  const bytes = new TextEncoder().encode(JSON.stringify(layouts))
  document.getElementById('measured').textContent = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
})
`
