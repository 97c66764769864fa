import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadLlama } from '@kvasir/llama'
import { afterAll, expect, test } from 'vitest'
import { readHeader, shortenModel } from './shorten-model.mjs'

const model = fileURLToPath(new URL('../../packages/llama/test-fixtures/gguf/llama-Q4_1.gguf', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'kvasir-shorten-'))
afterAll(() => rmSync(folder, { recursive: true }))

const layersOf = (path: string) => {
  const { tensors } = readHeader(readFileSync(path))
  return new Set(tensors.flatMap(({ name }: { name: string }) => /^blk\.(\d+)/.exec(name)?.[1] ?? [])).size
}

test('the first layers and tokens are a model, whose tensors are what they were', async () => {
  const short = join(folder, 'short.gguf')
  const bytes = shortenModel(model, short, { layers: 1, vocabulary: 300 })
  expect(bytes).toBe(readFileSync(short).length)
  expect(layersOf(model)).toBeGreaterThan(1)
  expect(layersOf(short)).toBe(1)
  await using loaded = await loadLlama({ model: short, contextTokens: 64 })
  await using sequence = loaded.createSequence()
  const logits = await sequence.prefill([1, 2, 299])
  expect(logits).toHaveLength(300)
  expect(logits.every(Number.isFinite)).toBe(true)
  await expect(sequence.prefill([300])).rejects.toThrow()
})

test('all layers give the model back', async () => {
  const same = join(folder, 'same.gguf')
  shortenModel(model, same, { layers: layersOf(model) })
  const logits = await Promise.all(
    [model, same].map(async (path) => {
      await using loaded = await loadLlama({ model: path, contextTokens: 64 })
      await using sequence = loaded.createSequence()
      return sequence.prefill([5, 6, 7])
    }),
  )
  expect(logits[1]).toEqual(logits[0])
})

test('more layers than there are, or none, are refused', () => {
  const path = join(folder, 'none.gguf')
  expect(() => shortenModel(model, path, { layers: 99 })).toThrow(/layers: expected 1 to/)
  expect(() => shortenModel(model, path, { layers: 0 })).toThrow(/layers: expected 1 to/)
  expect(() => shortenModel(model, path, { layers: 1, vocabulary: 1e6 })).toThrow(/vocabulary: expected 1 to/)
})
