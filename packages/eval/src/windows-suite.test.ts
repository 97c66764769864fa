import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type LlamaModel, loadLlama } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readBookWindows, scoredTokens } from './book-windows.ts'
import { parsePolicySpec, planArms } from './policy-spec.ts'
import { runWindows, type WindowResult, windowsModelOptions } from './windows-suite.ts'

const root = join(import.meta.dirname, '../../../')
const dataDir = process.env.KVASIR_DATA ?? join(root, '../shared/data/open')
const goldens = join(process.env.KVASIR_GOLDENS ?? join(root, '../shared/goldens'), 'policies.json')
const { folder, windows } = readBookWindows(dataDir)

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

describe.skipIf(windows.length === 0 || !existsSync(goldens))('book windows on the bundled model', () => {
  const length = 2048
  const arms = planArms(['full', 'oracle', 'window', 'sentence-kv'].map(parsePolicySpec), [128])
  const [window] = windows
  let model: LlamaModel
  let results: WindowResult[]
  beforeAll(async () => {
    model = await loadLlama({ model: modelPath, mode: 'exact', ...windowsModelOptions([length], arms) })
    results = await collect(runWindows(model, { folder, windows: [window], lengths: [length], arms }))
  }, 240_000)
  afterAll(() => model.dispose())

  test('the full cache loses what an independent implementation loses by the same protocol', () => {
    const golden = JSON.parse(readFileSync(goldens, 'utf8')).fullNllNats[window.id][length]
    expect(results[0].scoredTokens).toBe(scoredTokens)
    expect(Math.abs(results[0].nllFullNats - golden)).toBeLessThan(0.01)
  })

  test('a second full run is the same to the last bit', () => {
    expect(results[0]).toMatchObject({ policy: 'full', klNats: 0, top1: 1, denseSteps: scoredTokens })
    expect(results[0].nllNats).toBe(results[0].nllFullNats)
  })

  test('each policy attends its budget and holds all tokens', () => {
    for (const result of results.slice(1)) {
      expect(result).toMatchObject({ budget: 128, attendedTokensMean: 128, heldTokens: length + scoredTokens })
    }
  })

  test('the choice by true scores and the index beat the recent window', () => {
    const kl = Object.fromEntries(results.map(({ policy, klNats }) => [policy, klNats]))
    expect(kl.oracle).toBeLessThan(kl.window / 2)
    expect(kl['sentence-kv']).toBeLessThan(kl.window / 2)
  })

  test('results that are there already are not computed again', async () => {
    const progress: string[] = []
    const run = { folder, windows: [window], lengths: [length], arms, isDone: () => true }
    const again = runWindows(model, { ...run, onProgress: ({ id }) => progress.push(id) })
    expect(await collect(again)).toEqual([])
    expect(progress).toEqual([])
  })

  test('an abort ends the run', async () => {
    const controller = new AbortController()
    const onProgress = () => controller.abort(new Error('enough'))
    const run = { folder, windows: [window], lengths: [length], arms, onProgress, signal: controller.signal }
    await expect(collect(runWindows(model, run))).rejects.toThrow('enough')
  })
})
