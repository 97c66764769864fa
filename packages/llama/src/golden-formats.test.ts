import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Kernels, loadKernels } from '@kvasir/kernels'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { logSumExpOf, rowsOf } from '../test-fixtures/engine.ts'
import { fixturePath, goldenPath } from '../test-fixtures/fixtures.ts'
import { loadLlama } from './index.ts'

interface FormatGolden {
  readonly ids: number[]
  readonly nllMeanNats: number
  readonly checks: { readonly position: number; readonly logSumExp: number; readonly logits: number[] }[]
  /** Largest error of the reference when run in float32. */
  readonly float32MaxAbsLogit: number
}

// Small files are kept here; the larger ones only stand among the shared reference outputs.
const folders = [fixturePath('gguf'), dirname(goldenPath('gguf/README.md') ?? '/nowhere/x')].filter((path) =>
  existsSync(path),
)
const files = new Map(
  folders.flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.endsWith('.gguf'))
      .map((name) => [name, join(folder, name)] as const),
  ),
)

describe('random models in every weight format and architecture against float64 reference outputs', () => {
  let kernels: Kernels
  beforeAll(async () => {
    kernels = await loadKernels()
  })
  afterAll(() => kernels.dispose())

  test.each([...files])('%s', async (_, path) => {
    const golden = JSON.parse(readFileSync(`${path}.json`, 'utf8')) as FormatGolden
    await using model = await loadLlama({ model: path, kernels, mode: 'exact', kvType: 'f32' })
    const tolerance = 10 * golden.float32MaxAbsLogit

    const prefilled = await rowsOf(model, golden.ids)
    expect(worst(golden, prefilled)).toBeLessThanOrEqual(tolerance)

    await using sequence = model.createSequence()
    const decoded = [await sequence.prefill([golden.ids[0]])]
    for (const id of golden.ids.slice(1)) decoded.push(await sequence.decode(id))
    expect(worst(golden, decoded)).toBeLessThanOrEqual(tolerance)
  })
})

function worst(golden: FormatGolden, rows: readonly Float32Array[]): number {
  const differences = golden.checks.flatMap(({ position, logits, logSumExp }) => [
    Math.abs(logSumExpOf(rows[position]) - logSumExp),
    ...logits.map((value, i) => Math.abs(rows[position][i * 32] - value)),
  ])
  return Math.max(...differences)
}
