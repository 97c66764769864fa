import { copyFile, mkdtemp, readdir, readFile, rename, stat, unlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type DonorKv, IntegrityError, OptionError } from '@kvasir/core'
import { testDonor } from '@kvasir/core/testing'
import { beforeEach, expect, test } from 'vitest'
import { type FileCalls, systemFiles } from './donor-files.ts'
import { fileDonors, openFileDonors } from './file-donors.ts'

const { scope } = testDonor()
const ample = 1 << 20

let folder: string
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'kvasir-file-donors-')), 'new', 'folder')
})

const listed = async (ending: string) => (await readdir(folder)).filter((name) => name.endsWith(ending)).sort()

async function checkRead(donor: DonorKv, seed: number): Promise<void> {
  for (const layer of [0, 1]) expect(await donor.layer(layer)).toEqual(await testDonor({ seed }).layer(layer))
}

test('a later store finds what an earlier one wrote, in the order of use', async () => {
  const first = await fileDonors({ folder, budgetBytes: ample })
  for (const [seed, id] of ['a', 'b', 'c'].entries()) {
    await first.put(testDonor({ id, seed }))
    await utimes(join(folder, (await newest())!), seed, seed)
  }
  const used = (await first.open('a', scope))!
  used.close()
  const { bytes } = first.counts()
  await first.dispose()

  const second = await fileDonors({ folder, budgetBytes: ample })
  expect(second.ids()).toEqual(['b', 'c', 'a'])
  expect(second.counts()).toMatchObject({ bytes, donors: 3, damaged: 0 })
  expect(second.entry('b')).toEqual({ id: 'b', scope, numTokens: 5, bytes: bytes / 3 })
  const donor = (await second.open('b', scope))!
  expect(donor).toMatchObject({ id: 'b', scope, format: testDonor().format, tokens: testDonor({ seed: 1 }).tokens })
  await checkRead(donor, 1)
  donor.close()
  await second.dispose()

  const third = await fileDonors({ folder, budgetBytes: bytes - 1, maxDonors: 5 })
  expect(third.ids()).toEqual(['a', 'b'])
  expect(await listed('.kv')).toHaveLength(2)
})

async function newest(): Promise<string | undefined> {
  const names = await listed('.kv')
  const times = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).mtimeMs))
  return names[times.indexOf(Math.max(...times))]
}

test('files are for their owner alone, and their names say nothing', async () => {
  const store = await fileDonors({ folder, budgetBytes: ample })
  await store.put(testDonor({ id: 'secret-of-acme' }))
  const [name] = await readdir(folder)
  expect(name).toMatch(/^[0-9a-f]{64}-[0-9a-f]{16}\.kv$/)
  expect((await stat(folder)).mode & 0o777).toBe(0o700)
  expect((await stat(join(folder, name!))).mode & 0o777).toBe(0o600)
})

test('bytes counted are the bytes of the files', async () => {
  const store = await fileDonors({ folder, budgetBytes: ample })
  for (const id of ['a', 'bb']) await store.put(testDonor({ id, numTokens: 3 + id.length }))
  const sizes = await Promise.all((await listed('.kv')).map(async (name) => (await stat(join(folder, name))).size))
  expect(store.counts().bytes).toBe(sizes.reduce((sum, size) => sum + size))
})

test('leftovers of unfinished writes are swept, other files are let be', async () => {
  const first = await fileDonors({ folder, budgetBytes: ample })
  await first.put(testDonor())
  await first.dispose()
  const orphan = (await listed('.kv'))[0]!.replace('.kv', '.part')
  await copyFile(join(folder, (await listed('.kv'))[0]!), join(folder, orphan))
  await writeFile(join(folder, 'notes.kv'), 'mine')
  const second = await fileDonors({ folder, budgetBytes: ample })
  expect(await listed('.part')).toEqual([])
  expect(await readFile(join(folder, 'notes.kv'), 'utf8')).toBe('mine')
  expect(second.ids()).toEqual(['donor'])
})

test('a file that took the place of another is refused, at once and after a start', async () => {
  const store = await fileDonors({ folder, budgetBytes: ample })
  const gone: string[] = []
  store.onRemove((id) => gone.push(id))
  await store.put(testDonor({ id: 'a', seed: 1 }))
  const [a] = await listed('.kv')
  await store.put(testDonor({ id: 'b', seed: 2 }))
  const b = (await listed('.kv')).find((name) => name !== a)
  await copyFile(join(folder, a!), join(folder, 'kept'))
  await rename(join(folder, b!), join(folder, a!))
  await rename(join(folder, 'kept'), join(folder, b!))
  await expect(store.open('a', scope)).rejects.toThrow(/header.id: expected "?a"?, got "b"/)
  expect(store.has('a')).toBe(false)
  expect(gone).toEqual(['a'])
  expect(store.counts()).toMatchObject({ damaged: 1, hits: 0, misses: 0, donors: 1 })
  await store.dispose()
  const second = await fileDonors({ folder, budgetBytes: ample })
  expect([second.ids(), second.counts().damaged, await listed('.kv')]).toEqual([[], 1, []])
})

test('damage found while reading is told, counted, and the file is gone', async () => {
  const store = await fileDonors({ folder, budgetBytes: ample, prefetchLayers: 0 })
  const gone: string[] = []
  store.onRemove((id) => gone.push(id))
  await store.put(testDonor())
  const [name] = await listed('.kv')
  const bytes = await readFile(join(folder, name!))
  bytes[bytes.length - 1]! ^= 1
  const [a, b] = [(await store.open('donor', scope))!, (await store.open('donor', scope))!]
  await writeFile(join(folder, name!), bytes)
  expect(await a.layer(0)).toEqual(await testDonor().layer(0))
  await expect(a.layer(1)).rejects.toThrow(IntegrityError)
  await expect(b.layer(1)).rejects.toThrow(/layers\[1\]/)
  expect([gone, store.counts().damaged, store.has('donor')]).toEqual([['donor'], 1, false])
  a.close()
  b.close()
  await expect.poll(() => store.counts().bytes).toBe(0)
  expect(await listed('.kv')).toEqual([])
})

test('a file that was cut while it is read is an error, not a short layer', async () => {
  const store = await fileDonors({ folder, budgetBytes: ample, prefetchLayers: 0 })
  await store.put(testDonor())
  const donor = (await store.open('donor', scope))!
  const path = join(folder, (await listed('.kv'))[0]!)
  await writeFile(path, (await readFile(path)).subarray(0, -1))
  await expect(donor.layer(1)).rejects.toThrow(IntegrityError)
  donor.close()
})

test('a file that vanished is a miss', async () => {
  const store = await fileDonors({ folder, budgetBytes: ample })
  await store.put(testDonor())
  await unlink(join(folder, (await listed('.kv'))[0]!))
  expect(await store.open('donor', scope)).toBeNull()
  expect(store.counts()).toMatchObject({ misses: 1, hits: 0, donors: 0, damaged: 0 })
  await expect.poll(() => store.counts().bytes).toBe(0)
})

test('a store with another key has none of the donors', async () => {
  const key = new Uint8Array(32).fill(1)
  const first = await fileDonors({ folder, budgetBytes: ample, key })
  await first.put(testDonor())
  const same = await fileDonors({ folder, budgetBytes: ample, key: key.slice() })
  expect(same.ids()).toEqual(['donor'])
  const other = await fileDonors({ folder, budgetBytes: ample, key: key.map((byte) => byte + 1) })
  expect([other.ids(), other.counts().damaged]).toEqual([[], 1])
})

/** Notes which layers of which store are read, by the length of the read. */
function watchReads(reads: number[]): FileCalls {
  const open = async (...args: Parameters<FileCalls['open']>) => {
    const handle = await systemFiles.open(...args)
    const read = handle.read.bind(handle) as (...args: unknown[]) => unknown
    const watched = (into: Uint8Array, at: number, length: number, position: number) => {
      reads.push(length)
      return read(into, at, length, position)
    }
    handle.read = watched as unknown as typeof handle.read
    return handle
  }
  return { ...systemFiles, open: open as FileCalls['open'] }
}

test.each([
  [0, [[1], [], [3], [4]]],
  [1, [[1, 2], [3], [4], []]],
  [2, [[1, 2, 3], [4], [], []]],
])(
  'with prefetchLayers %d the next layers are on their way when one is asked for',
  async (prefetchLayers, expected) => {
    const reads: number[] = []
    const layers = [1, 2, 3, 4].map((numKvHeads) => ({ numHeads: 12, numKvHeads, headDim: 1, rope: null }))
    const layerOf = (index: number) => new Uint8Array(20 * (index + 1)).fill(index)
    const format = { model: 'm', type: 'f16', shape: { layers } } as const
    const store = await openFileDonors({ folder, budgetBytes: ample, prefetchLayers }, watchReads(reads))
    await store.put({ ...testDonor(), format, layer: async (index) => layerOf(index) })
    const donor = (await store.open('donor', scope))!
    const seen: number[][] = []
    for (const index of [0, 1, 2, 3]) {
      if (prefetchLayers === 0 && index === 1) {
        seen.push([])
        continue
      }
      reads.length = 0
      expect(await donor.layer(index)).toEqual(layerOf(index))
      seen.push(reads.map((length) => length / 20))
    }
    expect(seen).toEqual(expected)
    donor.close()
  },
)

test('a donor may be closed while layers are on their way', async () => {
  const store = await fileDonors({ folder, budgetBytes: ample })
  await store.put(testDonor())
  const donor = (await store.open('donor', scope))!
  const reading = donor.layer(0)
  donor.close()
  expect(await reading).toEqual(await testDonor().layer(0))
  store.remove('donor')
  await expect.poll(() => store.counts().bytes).toBe(0)
})

test('an abort ends the wait for a layer, not the layer', async () => {
  const store = await fileDonors({ folder, budgetBytes: ample })
  await store.put(testDonor())
  const donor = (await store.open('donor', scope))!
  const controller = new AbortController()
  const reading = donor.layer(0, controller.signal)
  controller.abort(new Error('enough'))
  await expect(reading).rejects.toThrow('enough')
  await checkRead(donor, 0)
  donor.close()
})

test('wrong options are refused', async () => {
  const open = (options: object) => fileDonors({ folder, budgetBytes: 1, ...options })
  for (const options of [{ folder: '' }, { budgetBytes: -1 }, { maxDonors: 0 }, { key: new Uint8Array(16) }]) {
    await expect(open(options)).rejects.toThrow(OptionError)
  }
  await expect(open({ prefetch: 1 })).rejects.toThrow('Did you mean prefetchLayers')
  await expect(open({ prefetchLayers: 65 })).rejects.toThrow('prefetchLayers')
  await expect(open({ folder: '/dev/null/x' })).rejects.toThrow('ENOTDIR')
})
