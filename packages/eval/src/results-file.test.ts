import { appendFileSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openResults } from './results-file.ts'

const key = { suite: 'windows', id: 'a', length: 2048, policy: 'window', budget: 64, mode: null }
const newFolder = () => join(mkdtempSync(join(tmpdir(), 'kvasir-results-')), 'out')

test('rows are there at once, a line each, and a second run knows them', () => {
  const folder = newFolder()
  const results = openResults(folder, { model: 'm' })
  results.append(key)
  results.append({ ...key, id: 'b' })
  expect(readFileSync(join(folder, 'results.jsonl'), 'utf8')).toBe(
    `${JSON.stringify(key)}\n${JSON.stringify({ ...key, id: 'b' })}\n`,
  )
  const again = openResults(folder, { model: 'm' })
  expect(again.rows).toEqual([key, { ...key, id: 'b' }])
  expect(again.has(key)).toBe(true)
  expect(again.has({ ...key, budget: 128 })).toBe(false)
})

test('a line cut short by a crash is dropped, and the file goes on after the last whole one', () => {
  const folder = newFolder()
  openResults(folder, {}).append({ ...key, policy: 'naïve' })
  appendFileSync(join(folder, 'results.jsonl'), '{"suite":"windo')
  const results = openResults(folder, {})
  expect(results.rows).toHaveLength(1)
  results.append(key)
  expect(openResults(folder, {}).rows).toEqual([{ ...key, policy: 'naïve' }, key])
})

test('a line that is broken in the middle is named', () => {
  const folder = newFolder()
  openResults(folder, {}).append(key)
  appendFileSync(join(folder, 'results.jsonl'), '{"suite":\n{}\n')
  expect(() => openResults(folder, {})).toThrow(/results\.jsonl:2: expected a line of JSON/)
})

test('a folder of another run is refused', () => {
  const folder = newFolder()
  openResults(folder, { model: 'a.gguf', modelBytes: 1 })
  expect(() => openResults(folder, { model: 'b.gguf', modelBytes: 1 })).toThrow(
    /with model b.gguf, got "one with a.gguf"/,
  )
  const tiered = newFolder()
  openResults(tiered, { model: 'a.gguf', tier: 'file' })
  expect(() => openResults(tiered, { model: 'a.gguf' })).toThrow(/with tier none, got "one with file"/)
  expect(() => openResults(folder, { model: 'a.gguf', modelBytes: 1, tier: 'host' })).toThrow(/with tier host/)
})

test('other JSON files appear whole, and no draft stays', () => {
  const folder = newFolder()
  openResults(folder, {}).writeJson('summary.json', [1])
  expect(readdirSync(folder).sort()).toEqual(['run.json', 'summary.json'])
  expect(JSON.parse(readFileSync(join(folder, 'summary.json'), 'utf8'))).toEqual([1])
})
