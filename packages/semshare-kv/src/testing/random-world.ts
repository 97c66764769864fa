import { fileURLToPath } from 'node:url'
import type { DonorKv, DonorStore } from '@kvasir/core'
import { assertSameBits, seededRandom } from '@kvasir/core/testing'
import type { Kernels } from '@kvasir/kernels'
import { type LlamaModel, loadLlama, type Sequence } from '@kvasir/llama'
import { createDonorIndex } from '@kvasir/lsh'
import { expect } from 'vitest'
import { type DonorLibrary, type DonorShelf, donorLibrary } from '../library/donor-library.ts'
import { type SemShareKvOptions, semShareKv } from '../semshare-kv.ts'
import { scope } from './world.ts'

const fixture = fileURLToPath(new URL('../../../llama/test-fixtures/gguf/llama-Q4_1.gguf', import.meta.url))
/** Random weights deviate more than any trained ones. */
export const easy = {
  minPromptTokens: 8,
  tailTokens: 8,
  minDonorTokens: 8,
  minSaving: -1,
  maxDeviation: 1e6,
  raiseDeviation: 1e6,
  auditShare: 0,
} as const
const contextTokens = 128
const kvCapacityTokens = 4 * contextTokens

/** Tokens of the fixture's vocabulary, as the seed says. */
export function tokensOf(seed: number, count: number): Int32Array {
  const random = seededRandom(seed)
  return Int32Array.from({ length: count }, () => random.integer(512))
}

export const document = tokensOf(11, 100)
/** The document behind three other tokens. */
export const shifted = Int32Array.of(7, 8, 9, ...document)

export interface RandomWorld extends AsyncDisposable {
  readonly model: LlamaModel
  readonly library: DonorLibrary
  readonly openDonors: () => number
  open(options?: Partial<SemShareKvOptions>): Sequence
  full(tokens: Int32Array): Promise<Float32Array>
}

/** An engine, of exact mode if its kernels are given, whose donors pass through `change` when they are opened. */
export async function randomWorld(
  shelf: DonorShelf,
  change: (donor: DonorKv) => DonorKv = (donor) => donor,
  kernels?: Kernels,
): Promise<RandomWorld> {
  const open = new Set<DonorKv>()
  const watched: DonorStore = {
    put: (donor, signal) => library.put(donor, signal),
    async open(id, asker, signal) {
      const donor = await library.open(id, asker, signal)
      if (donor === null) return null
      const changed = change(donor)
      const lent: DonorKv = {
        ...changed,
        id: changed.id,
        scope: changed.scope,
        tokens: changed.tokens,
        format: changed.format,
        layer: (layer, signal) => changed.layer(layer, signal),
        close() {
          open.delete(lent)
          donor.close()
        },
      }
      open.add(lent)
      return lent
    },
  }
  const library = await donorLibrary({ store: shelf, index: createDonorIndex({ secret: new Uint8Array(32) }) })
  const own = kernels && ({ kernels, mode: 'exact' } as const)
  const model = await loadLlama({ model: fixture, donors: watched, kvCapacityTokens, contextTokens, ...own })
  return {
    model,
    library,
    openDonors: () => open.size,
    open: (options = {}) =>
      model.createSequence({ policy: semShareKv({ donors: library, ...easy, ...options }), scope }),
    async full(tokens) {
      await using sequence = model.createSequence()
      return await sequence.prefill(tokens)
    },
    [Symbol.asyncDispose]: () => model.dispose(),
  }
}

/** Reads the tokens and publishes them. */
export async function teach({ open }: RandomWorld, tokens: Int32Array = document): Promise<void> {
  await using sequence = open()
  await sequence.prefill(tokens)
  expect(await sequence.publish()).not.toBeNull()
}

/** Every donor is closed, and every page is free or cached: all of the memory can be filled. */
export async function expectNothingLeaks(world: RandomWorld): Promise<void> {
  expect(world.openDonors()).toBe(0)
  const filling = Array.from({ length: kvCapacityTokens / contextTokens }, () => world.model.createSequence())
  for (const [at, sequence] of filling.entries()) {
    await sequence.prefill(Int32Array.from({ length: contextTokens }, (_, i) => (i * 31 + at) % 512))
  }
  for (const sequence of filling) await sequence.dispose()
}

/** The prompt is computed in full, to the bit, and the report says why. */
export async function expectFullPrefill(
  world: RandomWorld,
  reason: RegExp,
  tokens: Int32Array = shifted,
): Promise<void> {
  await using sequence = world.open()
  const logits = await sequence.prefill(tokens)
  assertSameBits(logits, await world.full(tokens))
  const { reuse, reusedTokens } = sequence.report()
  expect(reuse).toMatchObject({ accepted: false, borrowedTokens: 0, reason: expect.stringMatching(reason) })
  expect(reuse?.recomputedShare).toBeGreaterThanOrEqual(1)
  expect(reusedTokens).toBe(0)
  await sequence.dispose()
  await expectNothingLeaks(world)
}
