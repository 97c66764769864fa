import { type DonorKv, IntegrityError, privateScope } from '@kvasir/core'
import { memoryDonors, toyEngine, toyTokens } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { proseOf, scope, tokenDonor } from '../testing/world.ts'
import { type DonorShelf, donorLibrary } from './donor-library.ts'

const format = toyEngine().profile.format!
const text = proseOf(1, 300)
const query = (asked: string, more = {}) => ({ tokens: toyTokens(asked), scope, format, limit: 8, ...more })
const idsOf = ({ donors }: { donors: readonly { id: string }[] }) => donors.map(({ id }) => id)

/** A store of records that can be told to fail. */
function shelf(records: DonorKv[] = []) {
  const listeners = new Set<(id: string) => void>()
  const held = new Map(records.map((record) => [record.id, record]))
  const store = {
    held,
    put: async (donor: DonorKv) => {
      held.set(donor.id, donor)
      return true
    },
    open: async (id: string) => held.get(id) ?? null,
    ids: () => [...held.keys()],
    entry: (id: string) => held.get(id) ?? null,
    remove(id: string) {
      held.delete(id)
      for (const listener of listeners) listener(id)
    },
    onRemove(listener: (id: string) => void) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  } satisfies DonorShelf & { held: unknown }
  return { store, listeners }
}

describe('finding', () => {
  test('donors that share text, the most alike first', async () => {
    const library = await donorLibrary({ store: memoryDonors() })
    await library.put(tokenDonor('other', proseOf(2, 300)))
    await library.put(tokenDonor('half', text.slice(150)))
    await library.put(tokenDonor('whole', `See: ${text}`))
    expect(idsOf(await library.find(query(text))).slice(0, 2)).toEqual(['whole', 'half'])
    expect(idsOf(await library.find(query(text, { limit: 1 })))).toEqual(['whole'])
    expect(idsOf(await library.find(query('1234567890 1234567890')))).toEqual([])
  })

  test('the same donor is the same object every time', async () => {
    const library = await donorLibrary({ store: memoryDonors() })
    await library.put(tokenDonor('a', text))
    const [[first], [second]] = [(await library.find(query(text))).donors, (await library.find(query(text))).donors]
    expect(first).toBe(second)
  })

  test('what the store held before', async () => {
    const { store } = shelf([tokenDonor('old', text)])
    const library = await donorLibrary({ store })
    expect(idsOf(await library.find(query(text)))).toEqual(['old'])
  })

  test('nothing of another scope, whichever field differs, even if the index names it', async () => {
    const donor = tokenDonor('a', text)
    const named = { id: 'a', estimatedShare: 1, addedShare: 1, agreement: null }
    const index = { insert() {}, remove: () => true, query: () => [named] }
    for (const options of [{}, { index }]) {
      const library = await donorLibrary({ store: memoryDonors(), ...options })
      await library.put(donor)
      expect(idsOf(await library.find(query(text)))).toEqual(['a'])
      for (const field of Object.keys(scope)) {
        const found = await library.find(query(text, { scope: { ...scope, [field]: 'x' } }))
        expect(found, field).toEqual({ donors: [], refused: [] })
      }
    }
  })

  test('a donor of another kind is refused with the field that differs', async () => {
    const library = await donorLibrary({ store: memoryDonors() })
    const [layer] = format.shape.layers
    const turned = { ...layer, rope: { ...layer.rope!, theta: 500_000 } }
    await library.put(tokenDonor('weights', `A${text}`, { format: { ...format, model: 'toy-2' } }))
    await library.put(tokenDonor('half', `B${text}`, { format: { ...format, type: 'f16' } }))
    await library.put(tokenDonor('rope', `C${text}`, { format: { ...format, shape: { layers: [layer, turned] } } }))
    const { donors, refused } = await library.find(query(text))
    expect(donors).toEqual([])
    const reasons = Object.fromEntries(refused.map(({ id, reason }) => [id, reason]))
    expect(reasons.weights).toBe('donor weights is of another kind: model: "toy-2", not "toy-1"')
    expect(reasons.half).toMatch(/type: "f16", not "f32"/)
    expect(reasons.rope).toMatch(/shape\.layers\.1\.rope\.theta: 500000, not 10000/)
  })
})

describe('keeping', () => {
  test('a prompt that a held donor begins with is turned away, one that goes on replaces it', async () => {
    const { store } = shelf()
    const library = await donorLibrary({ store })
    expect(await library.put(tokenDonor('a', text))).toBe(true)
    expect(await library.put(tokenDonor('same', text))).toBe(false)
    expect(await library.put(tokenDonor('shorter', text.slice(0, 200)))).toBe(false)
    expect(library.counts()).toMatchObject({ donors: 1, repeated: 2 })
    expect(await library.put(tokenDonor('longer', `${text} And on.`))).toBe(true)
    expect([...store.held.keys()]).toEqual(['longer'])
    const elsewhere = tokenDonor('elsewhere', text, { scope: { ...scope, group: 'h' } })
    expect(await library.put(elsewhere)).toBe(true)
  })

  test('nothing of a private scope', async () => {
    const library = await donorLibrary({ store: memoryDonors() })
    expect(await library.put(tokenDonor('a', text, { scope: privateScope() }))).toBe(false)
    expect(library.size).toBe(0)
  })

  test('nothing that the store turns away, and nothing that it drops', async () => {
    const { store, listeners } = shelf()
    const full = await donorLibrary({ store: { ...store, put: async () => false } })
    expect(await full.put(tokenDonor('a', text))).toBe(false)
    expect(full.size).toBe(0)
    full.dispose()
    expect(listeners.size).toBe(0)
    const library = await donorLibrary({ store })
    await library.put(tokenDonor('a', text))
    store.remove('a')
    expect(idsOf(await library.find(query(text)))).toEqual([])
    expect(library.counts()).toEqual({ donors: 0, tokenBytes: 0, repeated: 0, missing: 0, expired: 0 })
  })

  test('nothing beyond its time', async () => {
    let nowMs = 0
    const { store } = shelf()
    const library = await donorLibrary({ store, ttlMs: 1000, now: () => nowMs })
    await library.put(tokenDonor('a', text))
    nowMs = 999
    expect(idsOf(await library.find(query(text)))).toEqual(['a'])
    nowMs = 1000
    expect(await library.open('a', scope)).toBeNull()
    expect(store.held.size).toBe(0)
    expect(library.counts().expired).toBe(1)
  })
})

describe('opening', () => {
  test('a donor that is gone or damaged is offered no more', async () => {
    const { store } = shelf()
    const library = await donorLibrary({ store })
    await library.put(tokenDonor('gone', text))
    store.held.delete('gone')
    expect(await library.open('gone', scope)).toBeNull()
    expect(idsOf(await library.find(query(text)))).toEqual([])
    await library.put(tokenDonor('bad', text))
    store.open = async () => {
      throw new IntegrityError({ parameter: 'bad', expected: 'its digest', got: 'another' })
    }
    await expect(library.open('bad', scope)).rejects.toThrow(IntegrityError)
    expect(library.counts()).toMatchObject({ donors: 0, missing: 2 })
  })

  test('one that was cut short or exchanged is not lent', async () => {
    const { store } = shelf()
    const library = await donorLibrary({ store })
    let closed = 0
    const close = () => void closed++
    for (const [id, tokens] of Object.entries({ short: text.slice(0, 250), other: proseOf(9, 300) })) {
      await library.put(tokenDonor(id, text))
      store.held.set(id, tokenDonor(id, tokens, { close }))
      expect(await library.open(id, scope)).toBeNull()
    }
    expect(closed).toBe(2)
    expect(library.size).toBe(0)
  })
})

test('misuse', async () => {
  const store = memoryDonors()
  await expect(donorLibrary({ store, ttl: 3 } as never)).rejects.toThrow(/Did you mean ttlMs/)
  await expect(donorLibrary({ store, ttlMs: 0 })).rejects.toThrow(/ttlMs: expected an integer >= 1/)
})
