import { Worker } from 'node:worker_threads'
import type { BenchRow } from './report.ts'

const rounds = 5

// Both buffers are written first: pages never touched are all one page of zeros.
// Node's own search and copy of buffers are the C library's memchr and memcpy, which run at the speed of memory.
const source = (bytes: number) => `
const { parentPort } = require('node:worker_threads')
const from = Buffer.alloc(${bytes}, 1)
const to = Buffer.alloc(${bytes}, 1)
const work = { read: () => from.indexOf(0), copy: () => from.copy(to) }
parentPort.on('message', (kind) => { work[kind](); parentPort.postMessage(kind) })
parentPort.postMessage('ready')
`

/**
 * How fast this machine's memory is read and copied by so many threads, as rows in GB/s: the best of a few rounds over
 * buffers of `bytes` each, by default far beyond any cache.
 */
export async function measureRoofs(threads: number, bytes = 128e6): Promise<BenchRow[]> {
  const workers = Array.from({ length: threads }, () => new Worker(source(bytes), { eval: true }))
  try {
    await Promise.all(workers.map(nextMessage))
    const shape = `threads=${threads}`
    const label = { shape, unit: 'GB/s', pairs: rounds }
    // A copied byte is read once and written once.
    return [
      { name: 'roof memory read', ours: (threads * bytes) / (await bestMs(workers, 'read')) / 1e6, ...label },
      { name: 'roof memory copy', ours: (threads * bytes * 2) / (await bestMs(workers, 'copy')) / 1e6, ...label },
    ]
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()))
  }
}

async function bestMs(workers: readonly Worker[], kind: 'read' | 'copy'): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < rounds; round++) {
    const startMs = performance.now()
    await Promise.all(
      workers.map((worker) => {
        worker.postMessage(kind)
        return nextMessage(worker)
      }),
    )
    best = Math.min(best, performance.now() - startMs)
  }
  return best
}

function nextMessage(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject)
    worker.once('message', (message) => {
      worker.off('error', reject)
      resolve(message)
    })
  })
}
