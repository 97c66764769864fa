import { OptionError } from '@kvasir/core'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { expect, test } from 'vitest'
import { runBench } from './bench.ts'
import { openPeer } from './llama-cpp.ts'
import { measureRoofs } from './roofs.ts'

test.each([
  [{ what: [] }, /what/],
  [{ what: ['flight'] }, /prefill, decode/],
  [{ what: ['decode'], against: 'nobody' }, /llama.cpp/],
  [{ what: ['decode'], lengths: [0] }, /lengths/],
  [{ what: ['decode'], pairs: 0 }, /pairs/],
  [{ what: ['donors'], donors: 0 }, /donors/],
  [{ what: ['decode'], rounds: 3 }, /rounds/],
])('%j is refused before anything is loaded', async (options, message) => {
  const run = runBench({ model: '/nowhere/none.gguf', text: 'x', ...options } as never)
  await expect(run).rejects.toThrow(OptionError)
  await expect(run).rejects.toThrow(message)
})

test('cuts text in turns with sentencex, and needs no model for it', async () => {
  const { rows } = await runBench({
    what: ['segment'],
    model: '/nowhere/none.gguf',
    text: 'It rains. We stay.',
    pairs: 2,
  })
  expect(rows).toMatchObject([{ name: 'segment', unit: 'MB/s', against: 'sentencex', pairs: 2 }])
  for (const rate of [rows[0].ours, rows[0].theirs]) expect(rate).toBeGreaterThan(0.1)
})

test('looks donors up, and needs no model for it', async () => {
  const { rows } = await runBench({ what: ['donors'], model: '/nowhere/none.gguf', text: 'x', donors: 1000, pairs: 1 })
  const figure = (name: string, shape: string) =>
    rows.find((row) => row.name === name && row.shape.includes(shape))!.ours
  expect(rows).toHaveLength(13)
  expect(figure('donor bytes', '')).toBeGreaterThan(100)
  for (const share of [0.9, 0.6, 0.3]) expect(figure('donor recall', `share=${share}`)).toBeGreaterThan(0.98)
  expect(figure('donor lookup p99, flooded', 'copies=1000')).toBeGreaterThan(0)
})

test('roofs are rates of this machine', async () => {
  const rows = await measureRoofs(1, 1e6)
  expect(rows.map(({ name, unit }) => [name, unit])).toEqual([
    ['roof memory read', 'GB/s'],
    ['roof memory copy', 'GB/s'],
  ])
  for (const { ours } of rows) expect(ours).toBeGreaterThan(0.1)
})

test('llama.cpp is timed at a length that stays, and counts tokens as we do', async () => {
  await using peer = await openPeer({ model: modelPath, threads: 1, contextTokens: 64 })
  const tokens = Int32Array.from({ length: 40 }, (_, i) => 300 + i)
  for (let round = 0; round < 2; round++) {
    expect(await peer.prefill(tokens)).toBeGreaterThan(0)
    // Three turns of 20 tokens would not fit in 64 if they were not taken back.
    for (let turn = 0; turn < 3; turn++) expect(await peer.decode(tokens.subarray(0, 20))).toBeGreaterThan(0)
  }
})
