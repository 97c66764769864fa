// Loads the addon in worker threads and ends them with work in flight. Run by environments.test.ts, as a process of its own:
// "node environments.mjs workers" or "node environments.mjs cycles NUMBER"; prints one JSON line.
import { setTimeout } from 'node:timers/promises'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { loadAddon } from '@kvasir/native'

const rows = 64
const cols = 256

// The addon holds raw pointers: whoever calls it keeps what they point to.
const kept = []

/** A program of a few seconds on a runtime of its own; `run` resolves when it has ended. */
async function openLongProgram(numOps) {
  const addon = loadAddon()
  const pending = new Map()
  const runtime = addon.openRuntime('scalar', 2, (job, failure) => {
    pending.get(job)(failure)
    pending.delete(job)
  })
  const start = (job, call) => {
    const ended = new Promise((resolve) => pending.set(job, resolve))
    call()
    return ended
  }
  const weight = addon.createWeight(runtime, 'F32', cols, cols)
  const source = new Float32Array(cols * cols).map((_, i) => (i % (cols + 1) === 0 ? 2 : 0))
  await start(1, () => addon.packWeightRows(runtime, 1, weight, 0, cols, new Uint8Array(source.buffer)))
  const x = new Float32Array(addon.allocate(4 * rows * cols)).fill(3)
  const out = new Float32Array(addon.allocate(4 * rows * cols))
  const op = { kind: 'linear', x, parts: [{ weight, out }], rows, path: 'prefill', mode: 'exact' }
  const program = addon.createProgram(Array.from({ length: numOps }, () => op))
  const arena = addon.createArena(2, 2, 64, 1000, 'f16')
  kept.push(weight, x, out, program, source)
  return { out, arena, run: () => start(2, () => addon.runProgram(runtime, 2, program, 0, 0, 0, [])) }
}

async function workInWorker({ numOps, wait }) {
  const { out, run } = await openLongProgram(numOps)
  const ended = run()
  if (wait) await ended
  parentPort.postMessage(wait ? out.every((value) => value === 6) : true)
  await ended
}

/** Resolves with the worker's first message. */
function startWorker(numOps, wait) {
  const worker = new Worker(new URL(import.meta.url), { workerData: { numOps, wait } })
  const message = new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  return { worker, message }
}

async function runWorkers() {
  const workers = Array.from({ length: 8 }, () => startWorker(20, true))
  const results = await Promise.all(workers.map(({ message }) => message))
  await Promise.all(workers.map(({ worker }) => worker.terminate()))
  return { right: results.filter(Boolean).length }
}

async function runCycles(count) {
  const memory = []
  for (let cycle = 0; cycle < count; cycle++) {
    const inFlight = cycle % 2 === 0
    const { worker, message } = startWorker(inFlight ? 2000 : 1, !inFlight)
    await message
    if (inFlight) await setTimeout(cycle % 7)
    await worker.terminate()
    memory.push(process.memoryUsage.rss())
  }
  const least = (values) => Math.min(...values) / 2 ** 20
  return { cycles: count, growthMiB: least(memory.slice(-20)) - least(memory.slice(40, 60)) }
}

if (isMainThread) {
  const [, , mode, count] = process.argv
  const result = mode === 'workers' ? await runWorkers() : await runCycles(Number(count))
  console.log(JSON.stringify(result))
} else {
  await workInWorker(workerData)
}
