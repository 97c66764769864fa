import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { checkGraph, findCycles } from './check-graph.mjs'

let root: string

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'kvasir-graph-'))
  for (const parent of ['models', 'examples']) mkdirSync(join(root, parent))
  write('packages/segment/package.json', '{"name": "@kvasir/segment"}')
})
afterEach(() => rmSync(root, { recursive: true }))

function write(path: string, text: string) {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text)
}

function problems() {
  return checkGraph(root).map((problem) => problem.replaceAll(`${root}/packages/segment/src/`, ''))
}

test('a package that keeps the rules has no problem', () => {
  write(
    'packages/segment/src/a.ts',
    "import { a } from '@kvasir/core'\nimport { b } from './b.ts'\nexport const c = a + b\n",
  )
  write('packages/segment/src/b.ts', 'export const b = 1\n')
  expect(problems()).toEqual([])
})

test('an import that points the wrong way is refused, of types too', () => {
  write('packages/segment/src/a.ts', "import type { Kernels } from '@kvasir/kernels'\nexport type A = Kernels\n")
  expect(problems()).toEqual(['a.ts: @kvasir/segment must not import @kvasir/kernels'])
})

test('a cycle of values is refused, one of types is not', () => {
  write('packages/segment/src/a.ts', "import { b } from './b.ts'\nexport const a = () => b\n")
  write('packages/segment/src/b.ts', "import { a } from './a.ts'\nexport const b = () => a\n")
  expect(problems()).toEqual(['import cycle: a.ts -> b.ts -> a.ts'])
  write('packages/segment/src/b.ts', "import type { a } from './a.ts'\nexport const b = (c: typeof a) => c\n")
  expect(problems()).toEqual([])
})

test('export by star, a file named utils and a file over 400 lines are refused', () => {
  write('packages/segment/src/index.ts', "export * from './long.ts'\n")
  write('packages/segment/src/utils.ts', 'export const a = 1\n')
  write('packages/segment/src/long.ts', 'export {}\n'.repeat(401))
  expect(problems().sort()).toEqual([
    "index.ts: 'export *' hides what is public",
    'long.ts: 401 lines, at most 400: split it where the second idea begins',
    'utils.ts: name the file after what is in it',
  ])
})

test('a package without a row in the table is refused', () => {
  write('packages/new/package.json', '{"name": "@kvasir/new"}')
  write('packages/new/src/a.ts', 'export const a = 1\n')
  expect(problems()).toEqual(['@kvasir/new: give this package a row in tools/check-graph.mjs'])
})

test('findCycles follows a chain back to where it began', () => {
  const edges = { a: ['b'], b: ['c'], c: ['a'], d: ['a'] }
  expect(findCycles(new Map(Object.entries(edges)))).toEqual([['a', 'b', 'c', 'a']])
})
