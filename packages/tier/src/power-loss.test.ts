import { type Random, seededRandom, testDonor } from '@kvasir/core/testing'
import { expect, test } from 'vitest'
import type { FileCalls } from './donor-files.ts'
import { openFileDonors } from './file-donors.ts'

const { scope } = testDonor()
const budgetBytes = 2500
const sectorBytes = 64

interface Inode {
  /** What the process sees. */
  bytes: Uint8Array
  /** What the disk is sure to have. */
  synced: Uint8Array
  /** Not sure to be on the disk; any of them may be, in any order, and in part. */
  unsynced: { readonly at: number; readonly bytes: Uint8Array }[]
}

type Names = Map<string, Inode>

/**
 * A disk that keeps apart what was written and what a loss of power leaves: bytes are sure after datasync, names after a sync of
 * their folder. Until then each change of a name may have come through or not, as may each sector of each write.
 */
class ModelDisk {
  names: Names
  syncedNames: Names
  unsyncedNames: { readonly name: string; readonly inode: Inode | null }[] = []
  /** Called before each change. */
  onChange: () => void = () => {}

  constructor(names: Names = new Map()) {
    this.names = names
    this.syncedNames = new Map(names)
  }

  #rename(name: string, inode: Inode | null): void {
    if (inode === null) this.names.delete(name)
    else this.names.set(name, inode)
    this.unsyncedNames.push({ name, inode })
  }

  /** One of the disks that a loss of power may leave. */
  afterLoss(random: Random): ModelDisk {
    const names = new Map(this.syncedNames)
    for (const { name, inode } of this.unsyncedNames) {
      if (random.uniform() < 0.5) continue
      if (inode === null) names.delete(name)
      else names.set(name, inode)
    }
    const left: Names = new Map()
    for (const [name, inode] of names) {
      const bytes = tornBytes(inode, random)
      left.set(name, { bytes, synced: bytes, unsynced: [] })
    }
    return new ModelDisk(left)
  }

  files(): FileCalls {
    const absent = () => Object.assign(new Error('not there'), { code: 'ENOENT' })
    const folderHandle = {
      sync: async () => {
        this.onChange()
        this.syncedNames = new Map(this.names)
        this.unsyncedNames = []
      },
      close: async () => {},
    }
    const open = async (path: string, _flags: number, mode?: number) => {
      if (path === '/store') return folderHandle
      if (mode !== undefined) {
        this.onChange()
        this.#rename(path, { bytes: new Uint8Array(0), synced: new Uint8Array(0), unsynced: [] })
      }
      const inode = this.names.get(path)
      if (inode === undefined) throw absent()
      return this.#handleOf(inode)
    }
    const calls = {
      mkdir: async () => {},
      readdir: async () => [...this.names.keys()].map((path) => path.slice('/store/'.length)),
      open,
      rename: async (from: string, to: string) => {
        this.onChange()
        const inode = this.names.get(from)
        if (inode === undefined) throw absent()
        this.#rename(to, inode)
        this.#rename(from, null)
      },
      unlink: async (path: string) => {
        this.onChange()
        if (!this.names.has(path)) throw absent()
        this.#rename(path, null)
      },
    }
    return calls as unknown as FileCalls
  }

  #handleOf(inode: Inode) {
    return {
      stat: async () => ({ size: inode.bytes.length, mtimeMs: 0, isFile: () => true }),
      read: async (into: Uint8Array, at: number, length: number, position: number) => {
        const found = inode.bytes.subarray(position, position + length)
        into.set(found, at)
        return { bytesRead: found.length }
      },
      write: async (from: Uint8Array, at: number, length: number, position: number) => {
        this.onChange()
        const bytes = from.slice(at, at + length)
        inode.bytes = written(inode.bytes, position, bytes)
        inode.unsynced.push({ at: position, bytes })
        return { bytesWritten: length }
      },
      datasync: async () => {
        this.onChange()
        inode.synced = inode.bytes
        inode.unsynced = []
      },
      utimes: async () => {},
      close: async () => {},
    }
  }
}

function written(before: Uint8Array, at: number, bytes: Uint8Array): Uint8Array {
  const after = new Uint8Array(Math.max(before.length, at + bytes.length))
  after.set(before)
  after.set(bytes, at)
  return after
}

/** Each sector of each write, or not; sometimes all of them. */
function tornBytes({ synced, unsynced }: Inode, random: Random): Uint8Array {
  let bytes = synced
  const share = random.integer(4) === 0 ? 1 : random.uniform()
  for (const write of unsynced) {
    for (let at = 0; at < write.bytes.length; at += sectorBytes) {
      if (random.uniform() >= share) continue
      bytes = written(bytes, write.at + at, write.bytes.subarray(at, at + sectorBytes))
    }
  }
  return bytes
}

const seedOf = (id: string) => Number(id.slice(1))

test('whatever a loss of power leaves, no donor is wrong and none that was put is lost', {
  timeout: 180_000,
}, async () => {
  const random = seededRandom(3)
  const disk = new ModelDisk()
  const lost: { disk: ModelDisk; sure: readonly string[] }[] = []
  /** Put, and neither removed nor evicted. */
  let sure: string[] = []
  disk.onChange = () => {
    for (let tries = 0; tries < 20; tries++) lost.push({ disk: disk.afterLoss(random), sure: [...sure] })
  }
  const store = await openFileDonors({ folder: '/store', budgetBytes }, disk.files())
  store.onRemove((id) => {
    sure = sure.filter((other) => other !== id)
  })
  for (let seed = 100; seed < 130; seed++) {
    const id = `d${seed}`
    expect(await store.put(testDonor({ id, seed }))).toBe(true)
    sure.push(id)
    if (random.integer(4) === 0) store.remove(sure[0]!)
  }
  await store.dispose()

  const seen = { found: 0, damaged: 0, files: 0 }
  for (const left of lost) {
    seen.files += left.disk.names.size
    const after = await openFileDonors({ folder: '/store', budgetBytes: 10 * budgetBytes }, left.disk.files())
    for (const id of left.sure) expect(after.has(id), `${id} was put`).toBe(true)
    for (const id of after.ids()) {
      const donor = (await after.open(id, scope))!
      for (const layer of [0, 1])
        expect(await donor.layer(layer)).toEqual(await testDonor({ seed: seedOf(id) }).layer(layer))
      donor.close()
      seen.found++
    }
    seen.damaged += after.counts().damaged
    await after.dispose()
  }
  console.log(
    `${lost.length} losses of power: ${seen.files} files left, ${seen.found} donors read, ${seen.damaged} refused`,
  )
  expect(lost.length).toBeGreaterThan(5000)
  expect(seen.found).toBeGreaterThan(5000)
})

test('the model finds a store that renames before it syncs', async () => {
  const random = seededRandom(4)
  const disk = new ModelDisk()
  const hasty = disk.files()
  const open = async (...args: Parameters<FileCalls['open']>) => {
    const handle = await hasty.open(...args)
    handle.datasync = async () => {}
    return handle
  }
  const store = await openFileDonors({ folder: '/store', budgetBytes }, { ...hasty, open: open as FileCalls['open'] })
  await store.put(testDonor({ id: 'd1', seed: 1 }))
  let lost = 0
  for (let tries = 0; tries < 50; tries++) {
    const after = await openFileDonors({ folder: '/store', budgetBytes }, disk.afterLoss(random).files())
    if (!after.has('d1')) lost++
  }
  expect(lost).toBeGreaterThan(10)
})
