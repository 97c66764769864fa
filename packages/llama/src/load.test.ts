import { DisposedError } from '@kvasir/core'
import * as kernelsModule from '@kvasir/kernels'
import { afterEach, expect, test, vi } from 'vitest'
import { fixturePath } from '../test-fixtures/fixtures.ts'
import { type LlamaOptions, loadLlama } from './index.ts'

vi.mock(import('@kvasir/kernels'), async (original) => {
  const actual = await original()
  const loadSpied = async (options?: kernelsModule.LoadOptions) => {
    const kernels = await actual.loadKernels(options)
    vi.spyOn(kernels, 'dispose')
    return kernels
  }
  return { ...actual, loadKernels: vi.fn(loadSpied) }
})
const loadKernels = vi.mocked(kernelsModule.loadKernels)
afterEach(() => loadKernels.mockClear())

const path = fixturePath('gguf/llama-Q4_1.gguf')
/** The arena refuses a tier whose file is there already. */
const refused: LlamaOptions = {
  model: path,
  contextTokens: 64,
  kvTier: { lower: { kind: 'file', path }, hotBytes: 1e6 },
}

test('a load that fails disposes the kernels that it made', async () => {
  await expect(loadLlama(refused)).rejects.toThrow(/a new file can be made/)
  expect(loadKernels).toHaveBeenCalledOnce()
  const kernels = await loadKernels.mock.results[0].value
  expect(kernels.dispose).toHaveBeenCalledOnce()
})

test('of kernels that it was given it disposes the weights alone', async () => {
  const kernels = await kernelsModule.loadKernels()
  const load = vi.spyOn(kernels, 'loadWeight')
  await expect(loadLlama({ ...refused, kernels })).rejects.toThrow(/a new file can be made/)
  const weights = await Promise.all(load.mock.results.map(({ value }) => value as Promise<kernelsModule.Weight>))
  expect(weights.length).toBeGreaterThan(0)
  for (const weight of weights) expect(() => kernels.weightRow(weight, 0)).toThrow(DisposedError)
  expect(kernels.dispose).not.toHaveBeenCalled()
  await kernels.dispose()
})
