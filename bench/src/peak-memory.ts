import { fork } from 'node:child_process'
import { statSync } from 'node:fs'
import { extname } from 'node:path'
import { KvasirError } from '@kvasir/core'
import type { PeakMemory, PeakMemoryTask } from './peak-memory-child.ts'
import type { BenchRow } from './report.ts'

/** What the bar leaves for Node, weights repacked for the kernels, and work buffers. */
const allowanceBytes = 250e6

/** Peak resident memory of a process that loads only our engine and fills a sequence, against file + KV + 250 MB. */
export async function measurePeakMemory(task: PeakMemoryTask): Promise<BenchRow> {
  const { maxRssBytes, kvBytes } = await runChild(task)
  const boundBytes = statSync(task.model).size + kvBytes + allowanceBytes
  const ratio = boundBytes / maxRssBytes
  return {
    name: 'peak memory',
    shape: `length=${task.tokens.length}`,
    unit: 'MB',
    ours: maxRssBytes / 1e6,
    theirs: boundBytes / 1e6,
    against: 'file + KV + 250 MB',
    ratio,
    ratioQuartiles: [ratio, ratio],
    pairs: 1,
  }
}

function runChild(task: PeakMemoryTask): Promise<PeakMemory> {
  // The same file beside this one, as source or as built.
  const path = new URL(`./peak-memory-child${extname(import.meta.url)}`, import.meta.url)
  const child = fork(path, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  return new Promise((resolve, reject) => {
    let outcome: PeakMemory | undefined
    child.on('message', (message) => {
      outcome = message as PeakMemory
    })
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      if (outcome && code === 0) resolve(outcome)
      else
        reject(new KvasirError({ parameter: 'peak memory', expected: 'a child that ends well', got: signal ?? code }))
    })
    child.send(task)
  })
}
