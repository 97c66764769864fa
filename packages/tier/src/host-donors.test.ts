import { type DonorKv, OptionError, ScopeError, ShapeError } from '@kvasir/core'
import { expect, test } from 'vitest'
import { hostDonors } from './host-donors.ts'

const layer = { numHeads: 2, numKvHeads: 1, headDim: 4, rope: null }
const scope = { tenant: 't', group: 'g', model: 'm', layout: 'l', policy: 'p' }
/** 2 layers of 16 bytes a token, and 4 for its id. */
const tokenBytes = 36

function donor(id: string, numTokens: number, changes: Partial<DonorKv> = {}): DonorKv {
  return {
    id,
    scope,
    tokens: Int32Array.from({ length: numTokens }, (_, i) => i),
    format: { model: 'm', type: 'f16', shape: { layers: [layer, layer] } },
    layer: async (l) => new Uint8Array(16 * numTokens).fill(l + numTokens),
    close: () => {},
    ...changes,
  }
}

test('a donor comes back as it was put, and bytes are counted exactly', async () => {
  const store = hostDonors({ budgetBytes: 10 * tokenBytes })
  expect(await store.put(donor('a', 3))).toBe(true)
  const read = (await store.open('a', scope))!
  expect([...(await read.layer(1))]).toEqual(Array(48).fill(4))
  expect(store.counts()).toEqual({
    bytes: 3 * tokenBytes,
    donors: 1,
    lent: 1,
    hits: 1,
    misses: 0,
    evicted: 0,
    refused: 0,
    damaged: 0,
  })
  read.close()
  expect(store.counts()).toMatchObject({ donors: 1, lent: 0 })
})

test('the longest unused goes first, one that is read stays', async () => {
  const store = hostDonors({ budgetBytes: 10 * tokenBytes })
  const gone: string[] = []
  store.onRemove((id) => gone.push(id))
  for (const id of ['a', 'b', 'c']) await store.put(donor(id, 3))
  const a = (await store.open('a', scope))!
  expect(await store.put(donor('d', 4))).toBe(true)
  expect(gone).toEqual(['b'])
  expect(await store.put(donor('e', 8))).toBe(false)
  expect(store.ids()).toEqual(['c', 'a', 'd'])
  a.close()
})

test('misuse is named', async () => {
  expect(() => hostDonors({} as never)).toThrow(OptionError)
  const store = hostDonors({ budgetBytes: 1000 })
  await expect(store.put(donor('a', 1, { layer: async () => new Uint8Array(3) }))).rejects.toThrow(ShapeError)
  await expect(store.put(donor('../a', 1))).rejects.toThrow(OptionError)
  await store.put(donor('a', 1))
  await expect(store.open('a', { ...scope, tenant: 'u' })).rejects.toThrow(ScopeError)
})
