import { DisposedError, type DonorKv, IntegrityError } from '@kvasir/core'
import type { AdoptOptions } from '@kvasir/kernels'
import { expect, test } from 'vitest'
import type { EngineParts } from './engine-parts.ts'
import { type Borrower, LayerLending } from './layer-lending.ts'
import type { LendingFailure } from './lent-rows.ts'

const numLayers = 6
const soon = () => new Promise((resolve) => setTimeout(resolve, 2))

/** Donors that are read at once, and kernels whose loads stand when they are told. */
function world(readLayer: (layer: number) => Promise<Uint8Array> = async () => new Uint8Array(4)) {
  const log: string[] = []
  const standing: (() => void)[] = []
  const failing: ((error: Error) => void)[] = []
  const adoptRows = ({ layer }: AdoptOptions) => {
    log.push(`adopt ${layer}`)
    return new Promise<void>((resolve, reject) => {
      standing[layer] = resolve
      failing[layer] = reject
    })
  }
  const kv = {
    tokens: Int32Array.of(1),
    layer: (layer: number) => {
      log.push(`read ${layer}`)
      return readLayer(layer)
    },
  } as DonorKv
  const turns = {} as AdoptOptions['turns'] & object
  const rows = { sourceRows: Int32Array.of(0), slots: Int32Array.of(0), turns }
  const failures: LendingFailure[] = []
  const borrower: Borrower = {
    lent: { donors: [{ kv, ...rows }], lent: Uint8Array.of(1), exactTokens: 0, close: () => {} },
    wanted: () => failures.length === 0,
    fail: (failure) => failures.push(failure),
  }
  const parts = { config: { numLayers }, kernels: { adoptRows }, arena: {} } as unknown as EngineParts
  return { log, standing, failing, failures, lending: new LayerLending(parts, [borrower]) }
}

test('a layer begins without waiting until its rows stand, and the next is read meanwhile', async () => {
  const { lending, log } = world()
  await lending.begin(0)
  await lending.begin(1)
  await soon()
  expect(log).toEqual(['read 0', 'adopt 0', 'read 1', 'adopt 1'])
})

test('a layer is read once the rows of the one two before stand: bytes of two layers are held', async () => {
  const { lending, log, standing } = world()
  let begun = 0
  const all = (async () => {
    for (; begun < numLayers; begun++) await lending.begin(begun)
    await lending.begin(numLayers)
  })()
  for (let layer = 0; layer < numLayers; layer++) {
    await soon()
    expect(log.filter((line) => line.startsWith('read')).length).toBe(Math.min(numLayers, layer + 2))
    expect(begun).toBe(Math.min(numLayers, layer + 2))
    standing[layer]?.()
  }
  await all
  await lending.arrived()
  expect(log.filter((line) => line.startsWith('adopt'))).toEqual(
    Array.from({ length: numLayers }, (_, i) => `adopt ${i}`),
  )
})

test('settles once nothing is read and nothing is on its way', async () => {
  let give: (bytes: Uint8Array) => void = () => {}
  const slow = (layer: number) =>
    layer === 1 ? new Promise<Uint8Array>((resolve) => (give = resolve)) : Promise.resolve(new Uint8Array(4))
  const { lending, standing } = world(slow)
  await lending.begin(0)
  let settled = false
  const done = lending.settle().then(() => (settled = true))
  await soon()
  standing[0]?.()
  await soon()
  expect(settled).toBe(false)
  give(new Uint8Array(4))
  await done
})

test('a load that fails is told when all have arrived, and when its layer is needed two layers on', async () => {
  const { lending, failing } = world()
  await lending.begin(1)
  failing[0]?.(new Error('no device'))
  failing[1]?.(new Error('nor here'))
  await expect(lending.arrived()).rejects.toThrow('no device')
  await expect(lending.begin(2)).rejects.toThrow('no device')
  await lending.settle()
})

test('a donor that is damaged, or cannot be read, is read no further; misuse is thrown', async () => {
  const damaged = world(async (layer) => {
    if (layer === 1) throw new IntegrityError({ parameter: 'layer', expected: 'whole bytes', got: 'cut short' })
    return new Uint8Array(4)
  })
  await damaged.lending.begin(1)
  expect(damaged.failures).toMatchObject([{ reason: expect.stringContaining('cut short') }])
  damaged.standing[0]?.()
  await damaged.lending.begin(numLayers)
  expect(damaged.log).toEqual(['read 0', 'adopt 0', 'read 1'])
  const broken = world(() => Promise.reject(new Error('EIO: i/o error')))
  await broken.lending.begin(numLayers)
  expect(broken.failures).toMatchObject([{ reason: 'a donor could not be read: EIO: i/o error' }])
  const misused = world(() => Promise.reject(new DisposedError({ parameter: 'kv', expected: 'open', got: 'closed' })))
  await expect(misused.lending.begin(0)).rejects.toThrow(DisposedError)
})
