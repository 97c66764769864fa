import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { beforeAll, describe, expect, test } from 'vitest'
import { listWindowCases, scoredTokens } from './book-windows.ts'
import type { CaseResult } from './case-run.ts'
import { evaluate } from './evaluate.ts'
import { parsePolicySpec, planArms } from './policy-spec.ts'

const root = join(import.meta.dirname, '../../../')
const dataDir = process.env.KVASIR_DATA ?? join(root, '../shared/data/open')
const goldens = join(process.env.KVASIR_GOLDENS ?? join(root, '../shared/goldens'), 'policies.json')
const { cases } = listWindowCases(dataDir, { lengths: [2048], limit: 1 })

describe.skipIf(cases.length === 0 || !existsSync(goldens))('book windows on the bundled model', () => {
  const [{ id, length }] = cases
  const arms = planArms(['full', 'oracle', 'window', 'sentence-kv'].map(parsePolicySpec), [128])
  const results: CaseResult[] = []
  beforeAll(async () => {
    await evaluate({ cases, arms, model: modelPath, recallEvery: 128, onResults: (some) => results.push(...some) })
  }, 240_000)

  test('the full cache loses what an independent implementation loses by the same protocol', () => {
    const golden = JSON.parse(readFileSync(goldens, 'utf8')).fullNllNats[id][length]
    expect(results[0].scoredTokens).toBe(scoredTokens)
    expect(Math.abs((results[0].nllFullNats as number) - golden)).toBeLessThan(0.01)
  })

  test('a second full run is the same to the last bit, and reads all attention', () => {
    expect(results[0]).toMatchObject({ policy: 'full', klNats: 0, top1: 1, denseSteps: scoredTokens })
    expect(results[0].nllNats).toBe(results[0].nllFullNats)
    expect(results[0].recallByLayer).toEqual(new Array(30).fill(1))
  })

  test('each policy attends its budget', () => {
    for (const result of results.slice(1)) expect(result).toMatchObject({ budget: 128, attendedTokensMean: 128 })
  })

  test('the choice by true scores and the index beat the recent window, in KL and in attention mass', () => {
    const byPolicy = (field: string) => Object.fromEntries(results.map((row) => [row.policy, row[field] as number]))
    const [kl, recall] = [byPolicy('klNats'), byPolicy('recallNormalised')]
    for (const policy of ['oracle', 'sentence-kv']) {
      expect(kl[policy]).toBeLessThan(kl.window / 2)
      expect(recall[policy]).toBeGreaterThan(0.85)
    }
    expect(recall.oracle).toBeGreaterThan(0.95)
    expect(recall.window).toBeLessThan(0.7)
  })
})
