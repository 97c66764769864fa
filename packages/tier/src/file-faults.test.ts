import type { FileHandle } from 'node:fs/promises'
import { mkdtemp, readdir, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { IntegrityError } from '@kvasir/core'
import { testDonor } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { type FileCalls, systemFiles } from './donor-files.ts'
import { fileDonors, openFileDonors } from './file-donors.ts'
import type { KvDonors } from './kv-donors.ts'

const { scope } = testDonor()
const newFolder = () => mkdtemp(join(tmpdir(), 'kvasir-faults-'))

/** `short`: half of what was asked for is read or written, which is no failure. `cut`: nothing comes, as at the end of a file. */
type Fault = 'EIO' | 'ENOSPC' | 'EMFILE' | 'short' | 'cut'

type Call = (...args: never[]) => Promise<unknown>

/** A disk of which some calls fail, by their number and name. */
function failingFiles(
  fault: Fault,
  fails: (call: number, name: string) => boolean,
): { files: FileCalls; calls: () => number } {
  let calls = 0
  const failing =
    (name: string, call: Call) =>
    async (...args: never[]): Promise<unknown> => {
      if (!fails(++calls, name)) return call(...args)
      if (fault !== 'short' && fault !== 'cut') throw Object.assign(new Error(`${fault} in ${name}`), { code: fault })
      if (name !== 'read' && name !== 'write') return call(...args)
      if (fault === 'short') return call(args[0]!, args[1]!, Math.ceil(args[2]! / 2) as never, args[3]!)
      return { bytesRead: 0, bytesWritten: 0 }
    }
  const wrap = (handle: FileHandle) => {
    for (const name of ['read', 'write', 'stat', 'sync', 'datasync', 'utimes'] as const) {
      handle[name] = failing(name, (handle[name] as Call).bind(handle)) as never
    }
    return handle
  }
  const { mkdir, open, readdir: list, rename, unlink } = systemFiles
  const files = {
    mkdir: failing('mkdir', mkdir),
    open: failing('open', async (...args: Parameters<typeof open>) => wrap(await open(...args))),
    readdir: failing('readdir', list as Call),
    rename: failing('rename', rename),
    unlink: failing('unlink', unlink),
  } as unknown as FileCalls
  return { files, calls: () => calls }
}

async function folderBytes(folder: string): Promise<number> {
  const sizes = await Promise.all((await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** True if the donor was found and every byte of it was right; throws where one was not. */
async function readRightly(store: KvDonors, id: string): Promise<boolean> {
  try {
    const donor = await store.open(id, scope)
    if (donor === null) return false
    try {
      for (const layer of [0, 1])
        expect(await donor.layer(layer)).toEqual(await testDonor({ seed: seedOf(id) }).layer(layer))
    } finally {
      donor.close()
    }
    return true
  } catch (error) {
    if (error instanceof IntegrityError) return false
    throw error
  }
}

const seedOf = (id: string) => id.charCodeAt(0)
const newDonor = (id: string) => testDonor({ id, seed: seedOf(id) })

/** A folder with one donor and the leftover of a write; and what a donor takes. */
async function prepare(): Promise<{ folder: string; donorBytes: number }> {
  const folder = await newFolder()
  const store = await fileDonors({ folder, budgetBytes: 1 << 20 })
  await store.put(newDonor('a'))
  await store.dispose()
  await writeFile(join(folder, `${'0'.repeat(64)}-${'0'.repeat(16)}.part`), 'half')
  return { folder, donorBytes: store.counts().bytes }
}

/** Starts, puts, reads, evicts, replaces and removes; whatever the disk does, nothing but a start may throw. */
async function live(folder: string, budgetBytes: number, files: FileCalls, key?: Uint8Array): Promise<void> {
  const options = { folder, budgetBytes, ...(key && { key }) }
  const store = await openFileDonors(options, files).catch(() => null)
  if (store === null) return
  const removed: string[] = []
  store.onRemove((id) => removed.push(id))
  for (const id of ['b', 'c', 'b', 'd']) {
    const wasFound = store.has(id)
    const isPut = await store.put(newDonor(id))
    if (isPut || !wasFound) expect(store.has(id)).toBe(isPut)
    for (const old of ['a', id]) await readRightly(store, old)
    expect(store.counts().bytes).toBeLessThanOrEqual(budgetBytes)
  }
  for (const id of store.ids()) if (id !== 'd') store.remove(id)
  expect(removed.length).toBeGreaterThan(0)
  await store.dispose()
}

describe.each<Fault>(['EIO', 'EMFILE', 'short', 'cut'])('%s', (fault) => {
  test('in any one call loses at most donors, never a byte', { timeout: 120_000 }, async () => {
    const { donorBytes } = await prepare()
    let nth = 1
    for (let reached = true; reached; nth++) {
      const { folder } = await prepare()
      const { files, calls } = failingFiles(fault, (call) => call === nth)
      await live(folder, 3 * donorBytes, files)
      const survivors = await fileDonors({ folder, budgetBytes: 3 * donorBytes })
      for (const id of survivors.ids()) expect(await readRightly(survivors, id), `call ${nth}: ${id}`).toBe(true)
      expect(survivors.counts().damaged, `call ${nth}`).toBe(0)
      expect(await folderBytes(folder)).toBe(survivors.counts().bytes)
      reached = calls() >= nth
    }
    expect(nth).toBeGreaterThan(80)
  })
})

test('a full disk turns donors away and takes them again once there is room', async () => {
  const folder = await newFolder()
  let isFull = false
  const { files } = failingFiles('ENOSPC', (_, name) => isFull && ['write', 'datasync'].includes(name))
  const store = await openFileDonors({ folder, budgetBytes: 1 << 20 }, files)
  await store.put(newDonor('a'))
  const before = await folderBytes(folder)
  isFull = true
  expect(await store.put(newDonor('b'))).toBe(false)
  isFull = false
  expect(await readRightly(store, 'a')).toBe(true)
  expect(store.counts()).toMatchObject({ refused: 1, donors: 1, bytes: before })
  expect(await store.put(newDonor('b'))).toBe(true)
  expect(await folderBytes(folder)).toBe(store.counts().bytes)
})

test('what cannot be removed goes on counting', async () => {
  const folder = await newFolder()
  let isFrozen = false
  const { files } = failingFiles('EIO', () => isFrozen)
  const store = await openFileDonors({ folder, budgetBytes: 1 << 20 }, files)
  await store.put(newDonor('a'))
  const { bytes } = store.counts()
  isFrozen = true
  expect(store.remove('a')).toBe(true)
  await store.dispose()
  expect([store.has('a'), store.counts().bytes]).toEqual([false, bytes])
  expect(await folderBytes(folder)).toBe(bytes)
})
