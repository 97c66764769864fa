import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { loadKernels } from './backends.ts'
import type { Kernels, Program } from './kernels.ts'
import { presentBackends } from './tested-backends.ts'

const backends = presentBackends()

describe.each(backends)('$backend', ({ backend }) => {
  const loaded = loadKernels({ backend, numThreads: 2 })
  const long = loaded.then(longProgram)
  afterAll(async () => (await loaded).dispose())

  test('an aborted run rejects with the reason, soon, and writes nothing afterwards', async () => {
    const { program, out } = await long
    const delays: number[] = []
    for (let i = 0; i < 10; i++) {
      const controller = new AbortController()
      const run = program.run({ tokens: 64, signal: controller.signal })
      await setTimeout(20)
      const reason = new Error(`stop ${i}`)
      const start = performance.now()
      controller.abort(reason)
      await expect(run).rejects.toBe(reason)
      delays.push(performance.now() - start)
      const left = out.slice()
      await setTimeout(5)
      expect(out).toEqual(left)
    }
    delays.sort((a, b) => a - b)
    // The emulation of a GPU works off what was launched, up to 32 ops.
    expect(delays[7]).toBeLessThan(backend === 'cuda' ? 500 : 50)
  })

  const compiled = backend === 'cpu' ? ['scalar'] : []
  test.each(compiled)('a single long op stops too (%s)', async (isa) => {
    const kernels = await loadKernels({ backend, isa, numThreads: 2 })
    const [rows, cols] = [512, 2048]
    const weight = await kernels.loadWeight(
      'Q8_0',
      cols,
      cols,
      async (_, count) => new Uint8Array(count * (cols / 32) * 34),
    )
    const x = new Float32Array(rows * cols)
    const parts = [{ weight, out: new Float32Array(rows * cols) }]
    const program = kernels.createProgram([{ kind: 'linear', x, parts, rows, path: 'prefill', mode: 'exact' }])
    const controller = new AbortController()
    const run = program.run({ tokens: 0, signal: controller.signal })
    await setTimeout(30)
    const start = performance.now()
    controller.abort()
    await expect(run).rejects.toThrow('aborted')
    expect(performance.now() - start).toBeLessThan(200)
    await kernels.dispose()
  })

  test('a queued run is taken out at once', async () => {
    const { program } = await long
    const first = new AbortController()
    const running = program.run({ tokens: 64, signal: first.signal })
    const controller = new AbortController()
    const queued = program.run({ tokens: 64, signal: controller.signal })
    await setTimeout(5)
    controller.abort()
    first.abort()
    await expect(queued).rejects.toThrow('aborted')
    await expect(running).rejects.toThrow('aborted')
  })

  test('a signal that is aborted already refuses the run', async () => {
    const { program } = await long
    await expect(program.run({ tokens: 1, signal: AbortSignal.abort('no') })).rejects.toBe('no')
  })

  test('a signal that outlives its run keeps nothing', async () => {
    const kernels = await loaded
    const { signal } = new AbortController()
    const program = kernels.createProgram([])
    let listeners = 0
    const { addEventListener, removeEventListener } = signal
    signal.addEventListener = (...args: unknown[]) => {
      listeners++
      addEventListener.apply(signal, args as never)
    }
    signal.removeEventListener = (...args: unknown[]) => {
      listeners--
      removeEventListener.apply(signal, args as never)
    }
    for (let i = 0; i < 20; i++) await program.run({ tokens: 0, signal })
    expect(listeners).toBe(0)
  })

  test('the event loop stays free during long runs', async () => {
    const { program } = await long
    const controller = new AbortController()
    // How long one run takes depends on the machine: they follow each other until the signal refuses the next one.
    const runs = (async () => {
      for (;;) await program.run({ tokens: 64, signal: controller.signal })
    })()
    await setTimeout(20)
    // Other processes delay us too: the best of a few windows is ours.
    const delaysMs: number[] = []
    for (let window = 0; window < 5; window++) {
      const histogram = monitorEventLoopDelay({ resolution: 2 })
      histogram.enable()
      await setTimeout(200)
      histogram.disable()
      delaysMs.push(histogram.percentile(99) / 1e6)
    }
    controller.abort()
    await expect(runs).rejects.toThrow('aborted')
    expect(Math.min(...delaysMs)).toBeLessThan(20)
  })

  test('runs take place in the order of the calls', async () => {
    const kernels = await loaded
    const x = new Float32Array(4)
    const identity = Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : 0))
    const weight = await kernels.loadWeight('F32', 4, 4, async () => new Uint8Array(identity.buffer))
    const parts = (bias: number) => [{ weight, out: x, bias: new Float32Array(4).fill(bias) }]
    const fixed = { kind: 'linear' as const, x, rows: 1, path: 'decode' as const, mode: 'exact' as const }
    const double = kernels.createProgram([{ ...fixed, parts: [{ weight, out: x, accumulate: true }] }])
    const increment = kernels.createProgram([{ ...fixed, parts: parts(1) }])
    const order = [increment, double, double, increment, double]
    await Promise.all(order.map((program) => program.run({ tokens: 0 })))
    expect([...x]).toEqual([10, 10, 10, 10])
  })
})

/** Takes many seconds; every op alone is short. */
async function longProgram(kernels: Kernels): Promise<{ program: Program; out: Float32Array }> {
  const [rows, cols] = kernels.backend === 'cuda' ? [64, 32] : [64, 256]
  const weight = await kernels.loadWeight('F32', cols, cols, async (_, count) => new Uint8Array(count * cols * 4))
  const [x, out] = [new Float32Array(rows * cols), new Float32Array(rows * cols)]
  const op = { kind: 'linear' as const, x, rows: 'tokens' as const, path: 'prefill' as const, mode: 'exact' as const }
  return {
    program: kernels.createProgram(Array.from({ length: 50_000 }, () => ({ ...op, parts: [{ weight, out }] }))),
    out,
  }
}
