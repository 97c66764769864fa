import type { DonorKv, Scope } from '@kvasir/core'
import { type DonorStoreUnderTest, donorStoreSuite } from '@kvasir/core/testing'
import { expect, test } from 'vitest'
import { hostDonors } from './host-donors.ts'
import type { KvDonors } from './kv-donors.ts'

/** Runs the suite on a store with a fault, and gives the names of the tests that fail. */
async function failures(fault: (store: KvDonors) => Partial<DonorStoreUnderTest>): Promise<string[]> {
  const tests: [string, () => Promise<void>][] = []
  donorStoreSuite({
    describe: (_, body) => body(),
    test: (name, body) => tests.push([name, body]),
    openStore: async (budgetBytes) => {
      const store = hostDonors({ budgetBytes })
      const { ids, has, remove, onRemove, counts, dispose } = store
      const sound = {
        ids,
        has,
        remove,
        onRemove,
        counts,
        dispose,
        put: store.put.bind(store),
        open: store.open.bind(store),
      }
      return { ...sound, ...fault(store) }
    },
  })
  const failed: string[] = []
  for (const [name, body] of tests) await body().catch(() => failed.push(name))
  return failed
}

const owner: Scope = { tenant: 'acme', group: 'all', model: 'toy', layout: 'f16', policy: 'full' }

/** What `open` gives, changed. */
const lending = (change: (donor: DonorKv) => Partial<DonorKv>) => (store: KvDonors) => ({
  open: async (id: string, scope: Scope) => {
    const donor = await store.open(id, scope)
    return donor && { ...donor, ...change(donor) }
  },
})

test('a sound store passes', async () => {
  expect(await failures(() => ({}))).toEqual([])
})

test.each<[string, (store: KvDonors) => Partial<DonorStoreUnderTest>, RegExp]>([
  ['lends to every tenant', (store) => ({ open: (id) => store.open(id, owner) }), /to its scope alone/],
  ['lends other tokens', lending(() => ({ tokens: Int32Array.of(1) })), /what it was given/],
  ['lends one layer for another', lending(({ layer }) => ({ layer: () => layer(0) })), /layers in any order/],
  ['lends what was closed', lending(({ layer }) => ({ layer, close: () => {} })), /one donor to two readers/],
  ['ignores aborts', (store) => ({ put: (donor) => store.put(donor) }), /fail or are aborted/],
  ['tells nobody', () => ({ onRemove: () => () => {} }), /that were used last/],
  ['finds what was removed', () => ({ has: () => true }), /nothing that was removed/],
  ['counts no bytes', (store) => ({ counts: () => ({ ...store.counts(), bytes: 0 }) }), /what readers have of it/],
  [
    'takes everything',
    (store) => ({ put: async (donor) => (await store.put(donor)) || true }),
    /larger than the budget/,
  ],
])('a store that %s fails', async (_, fault, expected) => {
  expect((await failures(fault)).join('; ')).toMatch(expected)
})
