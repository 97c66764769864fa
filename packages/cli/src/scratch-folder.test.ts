import { chmodSync, existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { OptionError } from '@kvasir/core'
import { expect, test } from 'vitest'
import { openScratchFolder } from './scratch-folder.ts'

const newParent = () => mkdtempSync(join(tmpdir(), 'kvasir-scratch-'))

test('a folder goes with what is in it, and leaves no listener behind', () => {
  const before = ['exit', 'SIGINT', 'SIGTERM', 'SIGHUP'].map((event) => process.listenerCount(event))
  const parent = newParent()
  const folder = openScratchFolder('--tier-dir', parent)
  expect(dirname(folder.path)).toBe(parent)
  writeFileSync(join(folder.path, 'rows'), 'x')
  folder[Symbol.dispose]()
  expect(existsSync(folder.path)).toBe(false)
  expect(existsSync(parent)).toBe(true)
  expect(['exit', 'SIGINT', 'SIGTERM', 'SIGHUP'].map((event) => process.listenerCount(event))).toEqual(before)
})

test('a parent that is not there, or no folder, is refused with its name and what to do', () => {
  const missing = () => openScratchFolder('--tier-dir', '/nowhere/at/all')
  expect(missing).toThrow(OptionError)
  expect(missing).toThrow(/--tier-dir: .*can be written, got "\/nowhere\/at\/all \(ENOENT\)".*Make the folder/)
  const file = join(newParent(), 'file')
  writeFileSync(file, '')
  expect(() => openScratchFolder('--tier-dir', file)).toThrow(/ENOTDIR/)
})

test.skipIf(process.getuid?.() === 0)('a parent that cannot be written is refused', () => {
  const parent = newParent()
  chmodSync(parent, 0o500)
  expect(() => openScratchFolder('--tier-dir', parent)).toThrow(/EACCES/)
})
