import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { donorStoreSuite, testDonor } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { fileDonors } from './file-donors.ts'
import { hostDonors } from './host-donors.ts'
import type { KvDonors } from './kv-donors.ts'
import { tieredDonors } from './tiered-donors.ts'

const { scope } = testDonor()
const ample = 1 << 20

const newFolder = () => mkdtemp(join(tmpdir(), 'kvasir-tiered-'))

describe.each([
  ['a roomy front', ample],
  ['a front with room for one', 400],
  ['a front without room', 0],
])('%s', (_, frontBytes) => {
  donorStoreSuite({
    describe,
    test,
    openStore: async (budgetBytes) =>
      tieredDonors(
        hostDonors({ budgetBytes: frontBytes }),
        await fileDonors({ folder: await newFolder(), budgetBytes }),
      ),
  })
})

/** A store and how often its layers were read. */
function watched(store: KvDonors): { store: KvDonors; reads: () => number } {
  let reads = 0
  const open: KvDonors['open'] = async (...args) => {
    const donor = await store.open(...args)
    if (donor === null) return null
    const { id, tokens, format } = donor
    const layer = (index: number) => {
      reads++
      return donor.layer(index)
    }
    return { id, scope: donor.scope, tokens, format, layer, close: () => donor.close() }
  }
  const put = store.put.bind(store)
  const { ids, has, entry, remove, onRemove, counts } = store
  const dispose = () => store.dispose()
  return { store: { put, open, ids, has, entry, remove, onRemove, counts, dispose }, reads: () => reads }
}

async function readAll(store: KvDonors, seed: number): Promise<void> {
  const donor = (await store.open('donor', scope))!
  for (const layer of [0, 1]) expect(await donor.layer(layer)).toEqual(await testDonor({ seed }).layer(layer))
  donor.close()
}

test('layers come from the front, after a start once they were read', async () => {
  const folder = await newFolder()
  const first = watched(await fileDonors({ folder, budgetBytes: ample }))
  const store = tieredDonors(hostDonors({ budgetBytes: ample }), first.store)
  await store.put(testDonor({ seed: 4 }))
  await readAll(store, 4)
  expect(first.reads()).toBe(0)
  await store.dispose()

  const front = hostDonors({ budgetBytes: ample })
  const second = watched(await fileDonors({ folder, budgetBytes: ample }))
  const later = tieredDonors(front, second.store)
  await readAll(later, 4)
  await expect.poll(() => front.counts().donors).toBe(1)
  const before = second.reads()
  await readAll(later, 4)
  expect([before, second.reads()]).toEqual([4, 4])
  await later.dispose()
})

test('what leaves the back leaves the front', async () => {
  const front = hostDonors({ budgetBytes: ample })
  const store = tieredDonors(front, hostDonors({ budgetBytes: 400 }))
  await store.put(testDonor({ id: 'a' }))
  expect(front.has('a')).toBe(true)
  await store.put(testDonor({ id: 'b' }))
  expect([store.ids(), front.ids()]).toEqual([['b'], ['b']])
  store.remove('b')
  expect(front.ids()).toEqual([])
})

test('a newer donor of the same name is never hidden by a copy of the older', async () => {
  const front = hostDonors({ budgetBytes: ample })
  const back = hostDonors({ budgetBytes: ample })
  await back.put(testDonor({ seed: 1 }))
  const store = tieredDonors(front, back)
  const older = (await store.open('donor', scope))!
  await store.put(testDonor({ seed: 2 }))
  for (let tries = 0; tries < 5; tries++) await readAll(store, 2)
  expect(await older.layer(0)).toEqual(await testDonor({ seed: 1 }).layer(0))
  older.close()
})
