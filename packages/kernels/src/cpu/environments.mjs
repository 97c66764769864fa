// Loads the addon in worker threads and ends them with work in flight. Run by environments.test.ts, as a process of its own:
// "node environments.mjs workers", "... cycles NUMBER" or "node --expose-gc environments.mjs churn"; prints one JSON line.
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
  const runtime = addon.openRuntime('scalar', 2, '', (job, failure) => {
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
  const program = addon.createProgram(
    runtime,
    Array.from({ length: numOps }, () => op),
    [],
  )
  const arena = addon.createArena(runtime, 2, 2, 64, 1000, 'f16')
  kept.push(weight, x, out, program, source)
  return { out, arena, run: () => start(2, () => addon.runProgram(runtime, 2, program, 0, 0, 0, [], [], [], [])) }
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

/** Makes and forgets handles; half of them are released, the others collected. Returns how much stays. */
async function runChurn() {
  const addon = loadAddon()
  const pending = new Map()
  const settle = (job) => {
    pending.get(job)()
    pending.delete(job)
  }
  const runtime = addon.openRuntime('scalar', 2, '', settle)
  const x = new Float32Array(64)
  const op = { kind: 'gatherRows', x, ids: new Int32Array(1), dim: 64, out: x, rows: 1 }
  let job = 0
  const round = async () => {
    for (let i = 0; i < 200; i++) {
      const program = addon.createProgram(runtime, [op, op], [])
      const handles = [
        addon.createWeight(runtime, 'Q8_0', 256, 1024),
        addon.createArena(runtime, 2, 2, 64, 100_000, 'f16'),
        addon.createRunLists(4, 2, 2),
        addon.createSegmentIndex(2, 2, 64, 2, 16, 1),
      ]
      addon.allocate(1 << 16)
      for (let run = 0; run < 25; run++) {
        const ended = new Promise((resolve) => pending.set(++job, resolve))
        addon.runProgram(runtime, job, program, 0, 0, 0, [], [], [], [])
        if (run % 5 === 0 && addon.cancelJob(runtime, job)) settle(job)
        await ended
      }
      if (i % 2 === 0) for (const handle of [program, ...handles]) addon.release(handle)
    }
    for (let i = 0; i < 3; i++) {
      globalThis.gc()
      await setTimeout(2)
    }
    return process.memoryUsage.rss()
  }
  for (let warmUp = 0; warmUp < 5; warmUp++) await round()
  const before = await round()
  for (let i = 0; i < 10; i++) await round()
  const after = await round()
  addon.closeRuntime(runtime)
  return { runs: job, growthMiB: (after - before) / 2 ** 20 }
}

if (isMainThread) {
  const [, , mode, count] = process.argv
  const modes = { workers: runWorkers, cycles: () => runCycles(Number(count)), churn: runChurn }
  console.log(JSON.stringify(await modes[mode]()))
} else {
  await workInWorker(workerData)
}
