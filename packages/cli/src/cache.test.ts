import { mkdtempSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { testDonor } from '@kvasir/core/testing'
import { fileDonors } from '@kvasir/tier'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { main } from './main.ts'

let folder: string
let [out, err] = ['', '']
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-cache-'))
  out = ''
  err = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += text
    return true
  })
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += text
    return true
  })
})
afterEach(() => {
  vi.restoreAllMocks()
})

const paths = () => readdirSync(folder).map((name) => join(folder, name))

async function store(ids: readonly string[], key?: Uint8Array): Promise<void> {
  const donors = await fileDonors({ folder, budgetBytes: 1 << 20, ...(key && { key }) })
  for (const id of ids) await donors.put(testDonor({ id }))
  await donors.dispose()
}

/** The object that a command prints with --json. */
async function json(code: number, ...args: string[]) {
  out = ''
  expect(await main([...args, '--json'])).toBe(code)
  return JSON.parse(out)
}

test('inspect shows what a file of KV holds, and not the text', async () => {
  await store(['a'])
  const [path] = paths() as [string]
  expect(await main(['inspect', path])).toBe(0)
  expect(out).toMatch(/^KV of 5 tokens from position 0 on, exact, \d+ B, not sealed/)
  expect(out).toContain('scope.tenant = acme')
  expect(out).toMatch(/0 +4 +2 +4 +all +half 4, theta 10000, divisors +\d+ +160 B/)
  expect(out).toMatch(/1 +1 +1 +6 +8 +none +\d+ +120 B/)
  const { scope, format } = testDonor()
  const shown = await json(0, 'inspect', path)
  expect(shown).toMatchObject({ kind: 'kv', id: 'a', scope, model: 'toy', type: 'f16', numTokens: 5, sealed: false })
  expect(shown.layers[0]).toMatchObject({ ...format.shape.layers[0], bytes: 160 })
  expect(shown.layers[1].offset).toBe(shown.layers[0].offset + 160)
  expect(shown).not.toHaveProperty('tokens')
})

test('inspect says why a file of KV is refused', async () => {
  await store(['a'])
  const [path] = paths() as [string]
  const bytes = readFileSync(path)
  writeFileSync(path, bytes.subarray(0, -1))
  expect(await main(['inspect', path])).toBe(1)
  expect(err).toMatch(/^kvasir: file: expected \d+ bytes, as the header says, got \d+\.\n$/)
})

test('cache ls lists donors, unfinished and refused files', async () => {
  await store(['a', 'b', 'c'])
  const [x, y] = paths() as [string, string]
  renameSync(x, x.replace('.kv', '.part'))
  writeFileSync(y, 'cut')
  writeFileSync(join(folder, 'notes.txt'), 'mine')
  expect(await main(['cache', 'ls', folder])).toBe(0)
  expect(out).toMatch(/acme\/all +5 +\d+ B +20/)
  expect(out).toMatch(/refused: file: expected at least 64 bytes, got 3/)
  expect(out).toMatch(/unfinished/)
  expect(out).toMatch(/\n3 files, [\d.]+ K?B\n$/)
  const { files } = await json(0, 'cache', 'ls', folder)
  expect(files.map(({ id }: { id: string | null }) => id).filter(Boolean)).toHaveLength(1)
})

test('cache verify finds one changed byte', async () => {
  await store(['a', 'b'])
  expect(await json(0, 'cache', 'verify', folder)).toEqual({ folder, sound: 2, unfinished: 0, damaged: [] })
  const [path] = paths() as [string]
  const bytes = readFileSync(path)
  bytes[bytes.length - 1]! ^= 4
  writeFileSync(path, bytes)
  const { sound, damaged } = await json(1, 'cache', 'verify', folder)
  expect([sound, damaged.length]).toEqual([1, 1])
  expect(damaged[0].reason).toMatch(/^layers\[1\]: expected the bytes of its mark/)
  out = ''
  expect(await main(['cache', 'verify', folder])).toBe(1)
  expect(out).toMatch(/\n1 sound, 1 damaged, 0 unfinished\n$/)
  expect(err).toMatch(/expected sound files, got "?1 damaged ones/)
})

test('cache rm removes what the store made and nothing else', async () => {
  await store(['a', 'b'])
  writeFileSync(join(folder, 'notes.txt'), 'mine')
  expect(await main(['cache', 'rm', folder])).toBe(0)
  expect(out).toMatch(/^2 files removed, [\d.]+ K?B\n$/)
  expect(readdirSync(folder)).toEqual(['notes.txt'])
})

test('sealed files are read with their key', async () => {
  const key = new Uint8Array(32).fill(9)
  const keyFile = join(mkdtempSync(join(tmpdir(), 'kvasir-key-')), 'key')
  writeFileSync(keyFile, key)
  await store(['a'], key)
  expect((await json(0, 'cache', 'verify', folder, '--key-file', keyFile)).sound).toBe(1)
  expect((await json(0, 'inspect', paths()[0]!, '--key-file', keyFile)).sealed).toBe(true)
  expect((await json(1, 'cache', 'verify', folder)).damaged[0].reason).toMatch(/a file without a key/)
})
