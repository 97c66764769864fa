import { availableBackends, type Kernels, loadKernels } from '@kvasir/kernels'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bundledModel, rowsOf } from '../test-fixtures/engine.ts'
import { fixturePath } from '../test-fixtures/fixtures.ts'
import { type LlamaModel, type LlamaOptions, loadLlama } from './index.ts'

const scope = { tenant: 'tests', group: 'bits', model: 'm', layout: 'l', policy: 'full' }
const ids = Array.from({ length: 110 }, (_, i) => (i * 7919 + 13) % 512)

const hasGpu = availableBackends().some(({ backend, missing }) => backend === 'cuda' && missing === undefined)
const targets = [
  ['exact', 'the host'],
  ['fast', 'the host'],
  ...(hasGpu ? [['exact', 'a GPU'] as const, ['fast', 'a GPU'] as const] : []),
] as const

describe.each(targets)('%s mode on %s never changes a bit', { timeout: 120_000 }, (mode, where) => {
  const onGpu = where === 'a GPU'
  let kernels: Kernels
  let oneThread: Kernels
  beforeAll(async () => {
    const backend = onGpu ? ({ backend: 'cuda' } as const) : {}
    kernels = await loadKernels(backend)
    oneThread = await loadKernels({ ...backend, numThreads: 1 })
  })
  afterAll(() => Promise.all([kernels.dispose(), oneThread.dispose()]))

  const open = (more: Partial<LlamaOptions> = {}) =>
    loadLlama({ model: fixturePath('gguf/llama-Q4_1.gguf'), kernels, mode, contextTokens: 128, ...more })

  test.each(onGpu ? [109] : [1, 7, 16, 64, 109])('of a prefilled row by chunks of %i tokens', async (chunkTokens) => {
    await using whole = await open({ chunkTokens: 256 })
    await using cut = await open({ chunkTokens })
    expectSameRows(await rowsOf(cut, ids), await rowsOf(whole, ids))
  })

  test('of a prefilled row by where the prompt is split between calls', async () => {
    await using model = await open()
    const whole = await rowsOf(model, ids)
    await using sequence = model.createSequence()
    const rows: Float32Array[] = []
    const onLogits = (_: number, logits: Float32Array) => rows.push(logits.slice())
    for (const [start, end] of [
      [0, 1],
      [1, 17],
      [17, 100],
      [100, 110],
    ]) {
      await sequence.prefill(ids.slice(start, end), { onLogits })
    }
    expectSameRows(rows, whole)
  })

  test.skipIf(onGpu)('of a prefilled row by the thread count', async () => {
    await using single = await open({ kernels: oneThread })
    await using model = await open()
    expectSameRows(await rowsOf(single, ids), await rowsOf(model, ids))
  })

  test('of a prefilled row by reuse of a prefix', async () => {
    await using model = await open()
    const prompt = [...ids.slice(0, 100), 5, 6, 7]
    const [plain] = (await rowsOf(model, prompt)).slice(-1)
    await using first = model.createSequence({ scope })
    await first.prefill(ids)
    await using second = model.createSequence({ scope })
    const reused = await second.prefill(prompt)
    expect(second.report().reusedTokens).toBe(96)
    expectSameRows([reused], [plain])
  })

  test('of a prefilled row by the prompts it is prefilled with', async () => {
    await using model = await open({ chunkTokens: 40, kvCapacityTokens: 512 })
    const prompts = [ids.slice(0, 3), ids.slice(0, 50), ids.slice(20, 105)]
    const alone = await Promise.all(prompts.map((prompt) => model.createSequence().prefill(prompt)))
    const together = await model.prefill(prompts.map((prompt) => model.createSequence().request(prompt)))
    expectSameRows(together, alone)
  })

  test('of a decoded row by the batch it is decoded in', async () => {
    await using model = await open()
    const prompts = [ids.slice(0, 3), ids.slice(0, 50), ids.slice(20, 105)]
    const alone: Float32Array[] = []
    for (const prompt of prompts) {
      await using sequence = model.createSequence()
      await sequence.prefill(prompt)
      await sequence.decode(9)
      alone.push(await sequence.decode(11))
    }
    const sequences = await Promise.all(
      prompts.map(async (prompt) => {
        const sequence = model.createSequence()
        await sequence.prefill(prompt)
        return sequence
      }),
    )
    await model.decode(sequences.map((sequence) => sequence.step(9)))
    expectSameRows(await model.decode(sequences.map((sequence) => sequence.step(11))), alone)
  })

  test.skipIf(onGpu)('of a decoded row by the thread count', async () => {
    await using single = await open({ kernels: oneThread })
    await using model = await open()
    expectSameRows(await decodedRows(single), await decodedRows(model))
  })

  test('after a fork, and after a rewind', async () => {
    await using model = await open()
    await using sequence = model.createSequence()
    await sequence.prefill(ids.slice(0, 40))
    await using fork = await sequence.fork()
    const expected = await sequence.decode(3)
    expectSameRows([await fork.decode(3)], [expected])
    await fork.decode(4)
    await fork.rewind(40)
    expectSameRows([await fork.decode(3)], [expected])
    expectSameRows([await sequence.decode(8)], [await fork.decode(8)])
  })
})

describe.skipIf(bundledModel === null)('the bundled model in fast mode', () => {
  test('gives the same bits at chunks of 512 and of 100 tokens', async () => {
    const prompt = Array.from({ length: 700 }, (_, i) => 1000 + ((i * 31) % 4000))
    const rows = await Promise.all(
      [512, 100].map(async (chunkTokens) => {
        const { model } = await bundledModel!({ chunkTokens })
        await using sequence = model.createSequence()
        return [await sequence.prefill(prompt), await sequence.decode(77)]
      }),
    )
    expectSameRows(rows[1], rows[0])
  })
})

async function decodedRows(model: LlamaModel): Promise<Float32Array[]> {
  await using sequence = model.createSequence()
  const rows = [await sequence.prefill(ids.slice(0, 70))]
  for (const id of ids.slice(70, 90)) rows.push(await sequence.decode(id))
  return rows
}

function expectSameRows(actual: readonly Float32Array[], expected: readonly Float32Array[]): void {
  expect(actual.length).toBe(expected.length)
  const differing = actual.findIndex((row, i) => Buffer.compare(bytesOf(row), bytesOf(expected[i])) !== 0)
  expect(differing, 'index of the first differing row').toBe(-1)
}

function bytesOf(row: Float32Array): Buffer {
  return Buffer.from(row.buffer, row.byteOffset, row.byteLength)
}
