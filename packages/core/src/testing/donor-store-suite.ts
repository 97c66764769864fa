import type { DonorKv, DonorStore } from '../donors.ts'
import { DisposedError, OptionError, ScopeError, ShapeError } from '../errors.ts'
import { privateScope } from '../scope.ts'
import { check, type SuiteRunner } from './suite-run.ts'
import { type TestDonorOptions, testDonor, testFormat, testLayer, testScope } from './test-donor.ts'

/** What the suite asks of a store beside the contract of `DonorStore`. */
export interface DonorStoreUnderTest extends DonorStore {
  /** The longest unused first. */
  ids(): readonly string[]
  has(id: string): boolean
  remove(id: string): boolean
  onRemove(listener: (id: string) => void): () => void
  counts(): { readonly [name in 'bytes' | 'donors' | 'hits' | 'misses' | 'evicted' | 'refused']: number }
  dispose(): Promise<void>
}

export interface DonorStoreSuiteOptions extends SuiteRunner {
  /** An empty store of its own for each call. */
  readonly openStore: (budgetBytes: number) => Promise<DonorStoreUnderTest>
}

type Body = (store: DonorStoreUnderTest, donorBytes: number) => Promise<void>

const ample = 1 << 24

/**
 * The contract of a donor store with a budget, as tests: what it lends is what it was given, to its scope alone; what is read
 * stays, what is unused longest goes; failed and aborted puts leave nothing; the budget holds at every moment.
 */
export function donorStoreSuite({ describe, test, openStore }: DonorStoreSuiteOptions): void {
  const withRoomFor = (numDonors: number, body: Body) => async () => {
    const donorBytes = await bytesOfDonor(openStore)
    const store = await openStore(numDonors * donorBytes)
    await body(store, donorBytes)
    await store.dispose()
  }
  describe('lends', () => addLendingTests(test, withRoomFor))
  describe('keeps', () => addKeepingTests(test, withRoomFor))
  describe('turns away', () => addRefusingTests(test, withRoomFor))
}

type WithRoomFor = (numDonors: number, body: Body) => () => Promise<void>

function addLendingTests(test: SuiteRunner['test'], withRoomFor: WithRoomFor): void {
  test(
    'what it was given, also where the giver changes it later',
    withRoomFor(2, async (store) => {
      const given = testLayer(0, 5, 0)
      const donor = { ...testDonor(), layer: async (layer: number) => (layer === 0 ? given : testLayer(layer, 5, 0)) }
      check(await store.put(donor), 'the donor was turned away')
      given.fill(0)
      donor.tokens.fill(0)
      await checkLent(await open(store, 'donor'), {})
      check(store.counts().hits === 1 && store.counts().misses === 0, 'one hit was to be counted')
    }),
  )

  test(
    'to its scope alone, whatever field differs',
    withRoomFor(1, async (store) => {
      await store.put(testDonor())
      for (const field of Object.keys(testScope)) {
        const other = { ...testScope, [field]: 'other' }
        await rejects(store.open('donor', other), ScopeError, `opened with another ${field}`)
        await rejects(store.put(testDonor({ scope: other })), ScopeError, `replaced with another ${field}`)
      }
      await rejects(store.open('donor', privateScope()), ScopeError, 'opened with a private scope')
      await checkLent(await open(store, 'donor'), {})
    }),
  )

  test(
    'nothing where nothing is',
    withRoomFor(1, async (store) => {
      check((await store.open('donor', testScope)) === null, 'a donor was found')
      check(!store.has('donor') && !store.remove('donor'), 'there was something to remove')
      check(store.counts().misses === 1, 'a miss was to be counted')
    }),
  )

  test(
    'one donor to two readers, each until it closes',
    withRoomFor(1, async (store) => {
      await store.put(testDonor())
      const [a, b] = await Promise.all([open(store, 'donor'), open(store, 'donor')])
      await Promise.all([checkLayers(a, {}), checkLayers(b, {})])
      a.close()
      a.close()
      check(!(await store.put(testDonor({ id: 'next' }))), 'a donor that is read made room')
      await checkLayers(b, {})
      b.close()
      await rejects(b.layer(0), DisposedError, 'a closed donor was read')
      await settles(async () => store.put(testDonor({ id: 'next' })), 'a closed donor made no room')
    }),
  )

  test(
    'layers in any order, and no others',
    withRoomFor(1, async (store) => {
      await store.put(testDonor())
      const donor = await open(store, 'donor')
      for (const layer of [1, 0, 0, 1]) checkBytes(await donor.layer(layer), testLayer(layer, 5, 0), `layer ${layer}`)
      for (const layer of [-1, 2, 0.5]) await rejects(donor.layer(layer), OptionError, `layer ${layer} was read`)
      await rejects(donor.layer(0, AbortSignal.abort(new Stopped())), Stopped, 'an aborted read went on')
      donor.close()
    }),
  )
}

function addKeepingTests(test: SuiteRunner['test'], withRoomFor: WithRoomFor): void {
  test(
    'those that were used last',
    withRoomFor(3, async (store) => {
      const gone = heard(store)
      for (const id of ['a', 'b', 'c']) await store.put(testDonor({ id }))
      ;(await open(store, 'a')).close()
      await settles(async () => store.put(testDonor({ id: 'd' })), 'nothing made room')
      check(store.ids().join() === 'c,a,d', `kept ${store.ids()}`)
      check(gone.join() === 'b' && store.counts().evicted === 1, `evicted ${gone}`)
    }),
  )

  test(
    'the one that took the place of another of its name',
    withRoomFor(2, async (store, donorBytes) => {
      await store.put(testDonor({ seed: 1 }))
      const before = await open(store, 'donor')
      check(await store.put(testDonor({ seed: 2 })), 'the second was turned away')
      await checkLayers(before, { seed: 1 })
      before.close()
      await checkLent(await open(store, 'donor'), { seed: 2 })
      await settles(async () => store.counts().bytes === donorBytes, 'the first still takes bytes')
    }),
  )

  test(
    'nothing that was removed, but what readers have of it',
    withRoomFor(1, async (store, donorBytes) => {
      const gone = heard(store)
      await store.put(testDonor())
      const donor = await open(store, 'donor')
      check(store.remove('donor') && gone.join() === 'donor', 'listeners were not told')
      check(!store.has('donor') && store.ids().length === 0, 'a removed donor is found')
      check((await store.open('donor', testScope)) === null, 'a removed donor was opened')
      check(store.counts().bytes === donorBytes, 'what is read takes no bytes')
      await checkLent(donor, {})
      await settles(async () => store.counts().bytes === 0, 'what nobody reads takes bytes')
    }),
  )

  test(
    'within its budget while many are put at once',
    withRoomFor(3, async (store, donorBytes) => {
      let peak = 0
      const onLayer = () => {
        peak = Math.max(peak, store.counts().bytes)
      }
      const puts = Array.from({ length: 12 }, (_, seed) =>
        store.put(testDonor({ id: `d-${String(seed).padStart(3, '0')}`, seed, onLayer })),
      )
      const kept = (await Promise.all(puts)).filter(Boolean).length
      check(kept >= 3 && peak > 0 && peak <= 3 * donorBytes, `${kept} were kept with a peak of ${peak} bytes`)
      check(store.counts().bytes === store.counts().donors * donorBytes, 'bytes and donors disagree')
      for (const id of store.ids()) await checkLent(await open(store, id), { seed: Number(id.slice(2)) })
    }),
  )

  test(
    'no listener that has gone, and nothing once disposed',
    withRoomFor(1, async (store) => {
      const gone: string[] = []
      store.onRemove((id) => gone.push(id))()
      await store.put(testDonor())
      store.remove('donor')
      check(gone.length === 0, 'a listener heard after it had gone')
      await store.dispose()
      await rejects(store.put(testDonor()), DisposedError, 'put after dispose')
      await rejects(store.open('donor', testScope), DisposedError, 'opened after dispose')
    }),
  )
}

function addRefusingTests(test: SuiteRunner['test'], withRoomFor: WithRoomFor): void {
  test(
    'what is larger than the budget, and keeps what it has',
    withRoomFor(2, async (store) => {
      await store.put(testDonor())
      check(!(await store.put(testDonor({ id: 'large', numTokens: 500 }))), 'it was taken')
      check(store.ids().join() === 'donor' && store.counts().refused === 1, 'it was not counted, or something went')
    }),
  )

  test(
    'donors of private scopes and empty ones',
    withRoomFor(2, async (store) => {
      check(!(await store.put(testDonor({ scope: privateScope() }))), 'a private one was taken')
      check(!(await store.put(testDonor({ numTokens: 0 }))), 'an empty one was taken')
      check(store.counts().bytes === 0, 'something was kept')
    }),
  )

  test(
    'puts that fail or are aborted at any layer, and leaves nothing of them',
    withRoomFor(1, async (store) => {
      for (const at of testFormat.shape.layers.keys()) {
        const controller = new AbortController()
        const aborting = testDonor({ onLayer: (layer) => (layer === at ? controller.abort(new Stopped()) : undefined) })
        await rejects(store.put(aborting, controller.signal), Stopped, `went on after an abort at layer ${at}`)
        const failing = testDonor({ onLayer: (layer) => (layer === at ? Promise.reject(new Stopped()) : undefined) })
        await rejects(store.put(failing), Stopped, `took a donor that failed at layer ${at}`)
        const short = { ...testDonor(), layer: async (layer: number) => testLayer(layer, layer === at ? 4 : 5, 0) }
        await rejects(store.put(short), ShapeError, `took a donor with a short layer ${at}`)
        check(!store.has('donor') && store.counts().bytes === 0, `something of layer ${at} was kept`)
      }
      await rejects(store.put(testDonor(), AbortSignal.abort(new Stopped())), Stopped, 'began though aborted')
      check(await store.put(testDonor()), 'there was no room afterwards')
    }),
  )

  test(
    'malformed names, scopes and formats',
    withRoomFor(1, async (store) => {
      for (const id of ['', '../x', 'a/b', 'x'.repeat(129), 'ä']) {
        await rejects(store.put(testDonor({ id })), OptionError, `took the name ${id}`)
      }
      await rejects(store.put(testDonor({ scope: { ...testScope, tenant: '' } })), ScopeError, 'took an empty tenant')
      const format = { ...testFormat, shape: { layers: [] } }
      await rejects(store.put({ ...testDonor(), format }), ShapeError, 'took a shape without layers')
    }),
  )
}

class Stopped extends Error {}

async function bytesOfDonor(openStore: DonorStoreSuiteOptions['openStore']): Promise<number> {
  const store = await openStore(ample)
  await store.put(testDonor())
  const { bytes } = store.counts()
  await store.dispose()
  return bytes
}

async function open(store: DonorStoreUnderTest, id: string): Promise<DonorKv> {
  const donor = await store.open(id, testScope)
  check(donor !== null, `${id} was not found`)
  return donor
}

async function checkLent(donor: DonorKv, { numTokens = 5, seed = 0 }: TestDonorOptions): Promise<void> {
  const { id, scope, tokens, format } = testDonor({ numTokens, seed })
  check(donor.tokens.join() === tokens.join(), 'other tokens came back')
  check(JSON.stringify(donor.scope) === JSON.stringify(scope), 'another scope came back')
  check(JSON.stringify(donor.format) === JSON.stringify(format), 'another format came back')
  check(typeof donor.id === typeof id, 'no name came back')
  await checkLayers(donor, { numTokens, seed })
  donor.close()
}

async function checkLayers(donor: DonorKv, { numTokens = 5, seed = 0 }: TestDonorOptions): Promise<void> {
  for (const layer of testFormat.shape.layers.keys()) {
    checkBytes(await donor.layer(layer), testLayer(layer, numTokens, seed), `layer ${layer}`)
  }
}

function checkBytes(got: Uint8Array, expected: Uint8Array, what: string): void {
  check(got.length === expected.length && got.every((byte, at) => byte === expected[at]), `${what}: other bytes`)
}

function heard(store: DonorStoreUnderTest): readonly string[] {
  const gone: string[] = []
  store.onRemove((id) => gone.push(id))
  return gone
}

async function rejects(
  promise: Promise<unknown>,
  kind: abstract new (...args: never[]) => Error,
  otherwise: string,
): Promise<void> {
  const error = await promise.then(
    () => null,
    (caught: unknown) => caught,
  )
  check(error instanceof kind, otherwise, error)
}

/** Files take a moment to go after they were closed. */
async function settles(holds: () => Promise<boolean>, otherwise: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (await holds()) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  check(false, otherwise)
}
