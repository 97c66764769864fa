import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { availableBackends, type Kernels, loadKernels } from '@kvasir/kernels'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { rowsOf } from '../test-fixtures/engine.ts'
import { fixturePath } from '../test-fixtures/fixtures.ts'
import { loadLlama } from './index.ts'

const isHere = availableBackends().some(({ backend, missing }) => backend === 'cuda' && missing === undefined)
const ids = Array.from({ length: 60 }, (_, i) => (i * 7919 + 13) % 512)

describe.skipIf(!isHere)('the engine on a GPU', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-cuda-'))
  const trace = join(folder, 'trace')
  let cpu: Kernels
  let gpu: Kernels
  beforeAll(async () => {
    cpu = await loadKernels({ backend: 'cpu' })
    process.env.KVASIR_GPU_TRACE = trace
    gpu = await loadKernels({ backend: 'cuda' })
    delete process.env.KVASIR_GPU_TRACE
  })
  afterAll(async () => {
    await Promise.all([cpu.dispose(), gpu.dispose()])
    rmSync(folder, { recursive: true })
  })

  const open = (kernels: Kernels, mode: 'exact' | 'fast' = 'exact') =>
    loadLlama({
      model: fixturePath('gguf/llama-Q4_1.gguf'),
      kernels,
      mode,
      contextTokens: 128,
      chunkTokens: 32,
    })

  /** Greedy tokens and the logits before each; `given` are taken in their place. */
  async function decoded(kernels: Kernels, given: readonly number[] = []) {
    await using model = await open(kernels)
    await using sequence = model.createSequence()
    let logits = await sequence.prefill(ids.slice(0, 40))
    const result = { tokens: [] as number[], logits: [] as Float32Array[] }
    for (let step = 0; step < 12; step++) {
      const best = logits.indexOf(Math.max(...logits))
      result.tokens.push(best)
      result.logits.push(logits.slice())
      logits = await sequence.decode(given[step] ?? best)
    }
    return result
  }

  test('prefill gives the logits of the CPU', { timeout: 120_000 }, async () => {
    await using onCpu = await open(cpu)
    await using onGpu = await open(gpu)
    expect(largestDifference(await rowsOf(onGpu, ids), await rowsOf(onCpu, ids))).toBeLessThan(2e-2)
  })

  test('decoding gives the logits and the tokens of the CPU', { timeout: 120_000 }, async () => {
    const wanted = await decoded(cpu)
    const got = await decoded(gpu, wanted.tokens)
    expect(largestDifference(got.logits, wanted.logits)).toBeLessThan(2e-2)
    expect(got.tokens).toEqual(wanted.tokens)
  })

  test.for([
    ['exact', 11, 0],
    ['fast', 12, 1],
  ] as const)(
    'a layer of a decode step is so many launches: %s %i',
    async ([mode, launches, preparations], context) => {
      if (gpu.isa !== 'emulated') context.skip('the emulated device tells what it is given')
      await using model = await open(gpu, mode)
      await using sequence = model.createSequence()
      await sequence.prefill(ids.slice(0, 40))
      const before = readFileSync(trace, 'utf8').length
      await sequence.decode(7)
      const lines =
        readFileSync(trace, 'utf8')
          .slice(before)
          .match(/launch .*/g) ?? []
      const { numLayers } = model.config
      // Around them: the embedding; rows of the residual stream, their norm, the logits.
      expect(lines.length).toBe(launches * numLayers + 4)
      expect(lines.filter((line) => line.includes('ScaleRows')).length).toBe(preparations * numLayers)
    },
  )
})

function largestDifference(got: readonly Float32Array[], wanted: readonly Float32Array[]): number {
  expect(got.length).toBe(wanted.length)
  return Math.max(
    ...wanted.flatMap((row, r) => Array.from(row, (value, i) => Math.abs(value - (got[r]?.[i] ?? Number.NaN)))),
  )
}
