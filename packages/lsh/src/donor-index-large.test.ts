import type { Scope } from '@kvasir/core'
import { seededRandom } from '@kvasir/core/testing'
import { expect, test } from 'vitest'
import { createDonorIndex } from './donor-index.ts'

const secret = Uint8Array.from({ length: 32 }, (_, i) => 5 * i)
const scope: Scope = { tenant: 'a', group: 'g', model: 'm', layout: 'f16', policy: 'p' }
const many = 100_000
const timeout = 120_000

/** Half of it one of 50 openings that prompts share, half its own. */
function promptOf(number: number): Int32Array {
  const tokens = new Int32Array(240)
  fill(tokens.subarray(0, 120), number % 50)
  fill(tokens.subarray(120), 1000 + number)
  return tokens
}

function fill(tokens: Int32Array, seed: number): void {
  let state = Math.imul(seed + 1, 0x9e3779b1)
  for (let at = 0; at < tokens.length; at++) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + at
    tokens[at] = (state >>> 8) % 50_000
  }
}

function mediansMs(targets: readonly Int32Array[], look: (target: Int32Array) => void): number[] {
  const timesMs: number[][] = targets.map(() => [])
  for (let round = 0; round < 9; round++) {
    for (const [at, target] of targets.entries()) {
      const startMs = performance.now()
      look(target)
      timesMs[at].push(performance.now() - startMs)
    }
  }
  return timesMs.map((each) => each.sort((a, b) => a - b)[4])
}

const quantile = (values: readonly number[], share: number) =>
  [...values].sort((a, b) => a - b)[Math.floor(share * (values.length - 1))]

test('finds planted donors among 100,000, in less than 1 KB each', { timeout }, () => {
  const index = createDonorIndex({ secret })
  for (let number = 0; number < many; number++) index.insert({ id: String(number), scope, tokens: promptOf(number) })
  expect(index.size(scope)).toBe(many)
  expect(index.counts().bytes / many).toBeLessThan(800)
  const random = seededRandom(1)
  let found = 0
  for (let target = 0; target < 300; target++) {
    const planted = random.integer(many)
    const tokens = new Int32Array(240)
    fill(tokens, 10_000_000 + target)
    // Three runs of its own half, 60 tokens: a quarter of the target.
    for (const start of [120, 160, 200]) tokens.set(promptOf(planted).subarray(start, start + 20), start)
    found += index.query(tokens, scope, { limit: 8 }).some(({ id }) => id === String(planted)) ? 1 : 0
  }
  // 39 shared shingles, one in eight kept: one target in 180 keeps none of them.
  expect(found / 300).toBeGreaterThan(0.97)
})

test('bears 100,000 donors under the hashes of one prompt', { timeout }, () => {
  const index = createDonorIndex({ secret, maxDonors: 2 * many })
  for (let number = 0; number < 3000; number++) index.insert({ id: String(number), scope, tokens: promptOf(number) })
  const normal = Array.from({ length: 100 }, (_, number) => promptOf(number * 30))
  const flooded = promptOf(7).subarray(0, 120)
  for (let copy = 0; copy < many; copy++) index.insert({ id: `copy ${copy}`, scope, tokens: flooded })
  expect(index.size(scope)).toBe(many + 3000)
  expect(index.query(flooded, scope, { limit: 10_000 }).length).toBeLessThanOrEqual(64)

  const target = promptOf(7)
  expect(index.query(target, scope, { limit: 8 })[0].id).toBe('7')
  const timesMs = mediansMs(
    normal.flatMap((other) => [other, target]),
    (tokens) => {
      index.query(tokens, scope, { limit: 8 })
    },
  )
  const p99 = (parity: number) =>
    quantile(
      timesMs.filter((_, at) => at % 2 === parity),
      0.99,
    )
  expect(p99(1)).toBeLessThanOrEqual(2 * p99(0))
})
