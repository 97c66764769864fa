import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runsOfSpans } from '@kvasir/core'
import { probePolicy } from '@kvasir/core/testing'
import { loadKernels, type TierOptions } from '@kvasir/kernels'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fixturePath } from '../test-fixtures/fixtures.ts'
import { type LlamaModel, loadLlama } from './index.ts'

const prompt = Int32Array.from({ length: 100 }, (_, i) => (i * 37 + 5) % 512)
const decoded = [7, 300, 12, 499, 55]
const folder = mkdtempSync(join(tmpdir(), 'kvasir-tier-'))
let plain: LlamaModel

const load = async (kvTier?: TierOptions) =>
  loadLlama({
    model: fixturePath('gguf/llama-Q4_1.gguf'),
    kernels: await loadKernels(),
    contextTokens: 128,
    kvCapacityTokens: 512,
    ...(kvTier && { kvTier }),
  })

beforeAll(async () => {
  plain = await load()
})
afterAll(async () => {
  await plain.dispose()
  rmSync(folder, { recursive: true })
})

/** A few rows at either end of the sequence. */
const ends = (model: LlamaModel) =>
  probePolicy({ slots: ['select'], selectScope: 'layer' }, () => ({
    select: ({ numTokens }) => ({
      kind: 'runs',
      runs: runsOfSpans(
        [
          { start: 3, end: 9 },
          { start: 60, end: 81 },
          { start: numTokens - 20, end: numTokens },
        ],
        model.config.numKvHeads,
      ),
    }),
  }))

async function logitsOf(model: LlamaModel, dense: boolean): Promise<Float32Array[]> {
  const sequence = model.createSequence(dense ? {} : { policy: ends(model) })
  const logits = [await sequence.prefill(prompt, { chunkTokens: 32 })]
  for (const token of decoded) logits.push(await sequence.decode(token))
  const fork = await sequence.fork()
  await fork.rewind(prompt.length)
  for (const token of decoded) logits.push(await fork.decode(token))
  await fork.dispose()
  await sequence.dispose()
  return logits
}

let files = 0
const tiers: [string, () => TierOptions][] = [
  ['host memory', () => ({ lower: { kind: 'host' }, hotBytes: 200_000 })],
  ['a file', () => ({ lower: { kind: 'file', path: join(folder, `kv-${files++}`) }, hotBytes: 400_000 })],
  [
    'a file, nothing fetched ahead',
    () => ({ lower: { kind: 'file', path: join(folder, `kv-${files++}`) }, hotBytes: 400_000, prefetch: false }),
  ],
]

describe.each(tiers)('KV in %s', (_, tier) => {
  test.each([true, false])('gives the bits of KV in memory (everything selected: %s)', async (dense) => {
    const model = await load(tier())
    expect(await logitsOf(model, dense)).toEqual(await logitsOf(plain, dense))
    const counts = model.tierCounts()
    expect(counts?.hotBytes).toBeLessThanOrEqual(400_000)
    expect(counts?.lowerBytes).toBeGreaterThan(0)
    if (!dense) expect(counts?.movedRows).toBeGreaterThan(0)
    await model.dispose()
    expect(plain.tierCounts()).toBeNull()
  })
})
