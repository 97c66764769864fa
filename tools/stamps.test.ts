import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileKey } from './stamps.mjs'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-stamps-'))
  writeFileSync(join(folder, 'a.ts'), 'one')
})
afterEach(() => rmSync(folder, { recursive: true }))

const key = () => fileKey([folder], (path) => path.endsWith('.ts'))

test('the key holds while nothing changes', () => {
  expect(key()).toBe(key())
})

test('the key changes with a change, a new file and a removed file', () => {
  const before = key()
  writeFileSync(join(folder, 'a.ts'), 'two and more')
  const changed = key()
  writeFileSync(join(folder, 'b.ts'), '')
  const added = key()
  rmSync(join(folder, 'a.ts'))
  expect(new Set([before, changed, added, key()]).size).toBe(4)
})

test('files that do not count, outputs and absent folders leave the key alone', () => {
  const before = key()
  writeFileSync(join(folder, 'a.md'), 'text')
  mkdirSync(join(folder, 'dist'))
  writeFileSync(join(folder, 'dist', 'a.ts'), 'built')
  expect(key()).toBe(before)
  expect(fileKey([folder, join(folder, 'absent')], (path) => path.endsWith('.ts'))).toBe(before)
})
