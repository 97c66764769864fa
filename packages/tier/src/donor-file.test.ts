import { mkdtemp, readdir, rename, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { IntegrityError } from '@kvasir/core'
import { testDonor } from '@kvasir/core/testing'
import { beforeEach, expect, test } from 'vitest'
import { isDonorFile, listDonorFiles, openDonorFile } from './donor-file.ts'
import { fileDonors } from './file-donors.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvasir-donor-file-'))
})

async function store(ids: readonly string[], key?: Uint8Array): Promise<void> {
  const donors = await fileDonors({ folder, budgetBytes: 1 << 20, ...(key && { key }) })
  for (const id of ids) await donors.put(testDonor({ id }))
  await donors.dispose()
}

test('a container can be looked at without its store', async () => {
  await store(['a'])
  const path = join(folder, (await readdir(folder))[0]!)
  expect(await isDonorFile(path)).toBe(true)
  const file = await openDonorFile(path)
  const { id, scope, format, tokens } = testDonor({ id: 'a' })
  expect(file).toMatchObject({ id, scope, format, tokens, sealed: false })
  const [first, second] = file.layers
  expect(second!.offset).toBe(first!.offset + first!.bytes)
  expect(file.fileBytes).toBe(second!.offset + second!.bytes)
  expect(await file.read(1)).toEqual(await testDonor().layer(1))
  await file.close()
})

test('a listing says what each file is and changes nothing', async () => {
  await store(['a', 'b', 'c'])
  const [x, y, z] = await readdir(folder)
  await rename(join(folder, x!), join(folder, x!.replace('.kv', '.part')))
  await truncate(join(folder, y!), 100)
  await writeFile(join(folder, 'notes.txt'), 'mine')
  const names = (await readdir(folder)).sort()
  const files = await listDonorFiles(folder)
  expect(files.map(({ path }) => path).sort()).toEqual(names.slice(0, 3).map((name) => join(folder, name)))
  expect(files.filter(({ isFinished }) => !isFinished)).toHaveLength(1)
  expect(files.filter(({ refusal }) => refusal instanceof IntegrityError)).toHaveLength(1)
  expect(files.filter(({ donor }) => donor !== null).map(({ path }) => path)).toEqual([join(folder, z!)])
  expect((await readdir(folder)).sort()).toEqual(names)
})

test('sealed containers need their key', async () => {
  const key = new Uint8Array(32).fill(3)
  await store(['a'], key)
  const path = (await listDonorFiles(folder, { key }))[0]!.path
  expect(await isDonorFile(path)).toBe(true)
  await expect(openDonorFile(path)).rejects.toThrow(/^sealed: expected a file without a key/)
  await expect(openDonorFile(path, { key: new Uint8Array(32) })).rejects.toThrow(/^head: /)
  const file = await openDonorFile(path, { key })
  expect([file.id, file.sealed]).toEqual(['a', true])
  await file.close()
})

test('other files and wrong keys are told', async () => {
  const path = join(folder, 'text')
  await writeFile(path, 'text')
  expect(await isDonorFile(path)).toBe(false)
  await expect(isDonorFile(join(folder, 'none'))).rejects.toThrow('ENOENT')
  expect(() => openDonorFile(path, { key: new Uint8Array(5) })).toThrow('32 random bytes')
  expect(() => openDonorFile(path, { keys: 1 } as never)).toThrow('Did you mean key?')
})
