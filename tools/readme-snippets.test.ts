import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { findSnippets, writeSnippets } from './readme-snippets.mjs'

describe('findSnippets', () => {
  test('takes TypeScript blocks with their first line and marks those that only compile', () => {
    const page = [
      '# x',
      '```ts',
      'const a = 1',
      '```',
      '```sh',
      'ls',
      '```',
      '```ts no-run',
      'await forever()',
      '```',
      '',
    ].join('\n')
    expect(findSnippets(page)).toEqual([
      { line: 3, runs: true, code: 'const a = 1\n' },
      { line: 9, runs: false, code: 'await forever()\n' },
    ])
  })
})

describe('the snippets of the pages run as they stand', () => {
  beforeEach(() => {
    vi.spyOn(console, 'log').mockImplementation(() => {})
    vi.spyOn(process.stdout, 'write').mockImplementation(() => true)
  })
  afterEach(() => {
    vi.restoreAllMocks()
  })
  const snippets = writeSnippets(fileURLToPath(new URL('..', import.meta.url)))
  for (const { page, line, file } of snippets.filter((snippet) => snippet.runs)) {
    test(`${page}:${line}`, { timeout: 60_000 }, () => import(/* @vite-ignore */ file))
  }
})
