import type { BorrowedPiece } from '@kvasir/core'
import { seededRandom } from '@kvasir/core/testing'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { alignRuns, type DonorTokens } from './align-runs.ts'
import { rollingHashes } from './gram-table.ts'

const words = (text: string) => Int32Array.from(text.split(' '), (word) => Number.parseInt(word, 36))
const donor = (text: string, id = 'a'): DonorTokens => ({ id, tokens: words(text) })

function expectTrue(pieces: readonly BorrowedPiece[], target: Int32Array, donors: readonly DonorTokens[]): void {
  let at = 0
  for (const { start, end, donor: id, donorStart } of pieces) {
    expect(start).toBeGreaterThanOrEqual(at)
    expect(end).toBeGreaterThan(start)
    const { tokens } = donors.find((one) => one.id === id)!
    expect([...tokens.subarray(donorStart, donorStart + end - start)]).toEqual([...target.subarray(start, end)])
    at = end
  }
  expect(at).toBeLessThanOrEqual(target.length)
}

const countRows = (pieces: readonly BorrowedPiece[]) => pieces.reduce((sum, { start, end }) => sum + end - start, 0)

/** Rows that lie in some common run of at least minRunTokens, by the plain quadratic table. */
function coverableRows(target: Int32Array, donors: readonly DonorTokens[], minRunTokens: number): number {
  const covered = new Set<number>()
  for (const { tokens } of donors) {
    for (let from = 0; from < target.length; from++) {
      for (let at = 0; at < tokens.length; at++) {
        let length = 0
        while (from + length < target.length && target[from + length] === tokens[at + length]) length++
        if (length >= minRunTokens) for (let i = 0; i < length; i++) covered.add(from + i)
      }
    }
  }
  return covered.size
}

describe('runs', () => {
  test('an equal prompt is one piece, whatever its length', () => {
    for (const text of ['1', '1 2', '1 2 3 4 5 6 7 8 9']) {
      const pieces = alignRuns(words(text), [donor(text)], { minRunTokens: 4 })
      expect(pieces).toEqual([{ start: 0, end: text.split(' ').length, donor: 'a', donorStart: 0 }])
    }
  })

  test('a shifted prompt is one moved piece, a donor that begins later too', () => {
    const pieces = alignRuns(words('x 1 2 3 4 5'), [donor('1 2 3 4 5')], { minRunTokens: 3 })
    expect(pieces).toEqual([{ start: 1, end: 6, donor: 'a', donorStart: 0 }])
    const earlier = alignRuns(words('1 2 3 4 5'), [donor('x 1 2 3 4 5')], { minRunTokens: 3 })
    expect(earlier).toEqual([{ start: 0, end: 5, donor: 'a', donorStart: 1 }])
  })

  test('segments that changed their order are found, and so is a replaced word', () => {
    const target = words('9 a b c d 1 2 z 3 4 5')
    expect(alignRuns(target, [donor('0 1 2 3 4 5 a b c d')], { minRunTokens: 2 })).toEqual([
      { start: 1, end: 5, donor: 'a', donorStart: 6 },
      { start: 5, end: 7, donor: 'a', donorStart: 1 },
      { start: 8, end: 11, donor: 'a', donorStart: 3 },
    ])
  })

  test('several donors lend, and the longer run goes first', () => {
    const donors = [donor('1 2 3 4 y y', 'a'), donor('x 3 4 5 6 7 8', 'b')]
    expect(alignRuns(words('0 1 2 3 4 5 6 7 8'), donors, { minRunTokens: 2 })).toEqual([
      { start: 1, end: 3, donor: 'a', donorStart: 0 },
      { start: 3, end: 9, donor: 'b', donorStart: 1 },
    ])
  })

  test('what a longer run leaves of another is lent if it is long enough', () => {
    const donors = [donor('1 2 3 4 y y', 'a'), donor('x 3 4 5 6 7 8', 'b')]
    expect(alignRuns(words('0 1 2 3 4 5 6 7 8'), donors, { minRunTokens: 3 })).toEqual([
      { start: 3, end: 9, donor: 'b', donorStart: 1 },
    ])
  })

  test('the common prefix stays whole, beside a longer run that overlaps it', () => {
    const target = words('1 2 3 4 5 6 7 8')
    expect(alignRuns(target, [donor('1 2 3 0'), donor('3 4 5 6 7 8', 'b')], { minRunTokens: 2 })).toEqual([
      { start: 0, end: 3, donor: 'a', donorStart: 0 },
      { start: 3, end: 8, donor: 'b', donorStart: 1 },
    ])
  })

  test('of equal runs the one in the same context counts, then the one that moved less', () => {
    const target = words('p q r s z 1 2 3')
    const apart = donor('0 0 0 1 2 3', 'apart')
    const context = donor('p q r s y 1 2 3 0 0 0 0 0', 'context')
    expect(alignRuns(target, [apart, context], { minRunTokens: 3 }).at(-1)?.donor).toBe('context')
    const near = donor('0 0 0 0 1 2 3', 'near')
    expect(alignRuns(words('9 8 7 6 1 2 3'), [apart, near], { minRunTokens: 3 })).toEqual([
      { start: 4, end: 7, donor: 'near', donorStart: 4 },
    ])
  })

  test('nothing in common gives nothing', () => {
    expect(alignRuns(words('1 2 3'), [donor('4 5 6')], { minRunTokens: 2 })).toEqual([])
    expect(alignRuns(new Int32Array(0), [donor('4 5 6')], { minRunTokens: 2 })).toEqual([])
    expect(alignRuns(words('1 2 3'), [], { minRunTokens: 2 })).toEqual([])
    expect(alignRuns(words('1 2 3'), [{ id: 'a', tokens: new Int32Array(0) }], { minRunTokens: 2 })).toEqual([])
  })
})

const tokensOf = (vocabulary: number) =>
  fc.array(fc.integer({ min: 0, max: vocabulary }), { maxLength: 60 }).map((tokens) => Int32Array.from(tokens))

/** A target that is mixed from pieces of its donors and other tokens. */
const mixture = fc
  .tuple(
    fc.array(tokensOf(12), { minLength: 1, maxLength: 3 }),
    fc.array(fc.tuple(fc.nat(2), fc.nat(59), fc.nat(30), tokensOf(40)), { maxLength: 6 }),
  )
  .map(([donors, cuts]) => ({
    donors: donors.map((tokens, index) => ({ id: `d${index}`, tokens })),
    target: Int32Array.from(
      cuts.flatMap(([which, from, length, between]) => [
        ...donors[which % donors.length].subarray(from, from + length),
        ...between.subarray(0, 3),
      ]),
    ),
  }))

describe('for any texts', () => {
  const minRun = fc.integer({ min: 1, max: 6 })

  test('pieces hold the tokens of their donor', () => {
    const property = fc.property(mixture, minRun, ({ target, donors }, minRunTokens) => {
      const pieces = alignRuns(target, donors, { minRunTokens })
      expectTrue(pieces, target, donors)
      for (const { start, end } of pieces) expect(start === 0 || end - start >= minRunTokens).toBe(true)
    })
    fc.assert(property, { numRuns: 400 })
  })

  test('what they leave of the coverable rows is less than a run on each side of a piece', () => {
    const property = fc.property(mixture, minRun, ({ target, donors }, minRunTokens) => {
      const pieces = alignRuns(target, donors, { minRunTokens })
      const slack = 2 * (minRunTokens - 1) * pieces.length
      expect(countRows(pieces)).toBeGreaterThanOrEqual(coverableRows(target, donors, minRunTokens) - slack)
    })
    fc.assert(property, { numRuns: 400 })
  })

  test('a hash of 8 bits or less never gives a wrong run', () => {
    const property = fc.property(
      mixture,
      minRun,
      fc.constantFrom(0, 1, 255),
      ({ target, donors }, minRunTokens, mask) => {
        const gramHashes = (tokens: Int32Array, gram: number) => rollingHashes(tokens, gram).map((hash) => hash & mask)
        expectTrue(alignRuns(target, donors, { minRunTokens, gramHashes }), target, donors)
      },
    )
    fc.assert(property, { numRuns: 400 })
  })
})

test('the rolling hash is that of the gram alone, wherever it stands', () => {
  const random = seededRandom(3)
  const tokens = Int32Array.from({ length: 200 }, () => random.integer(1 << 20))
  const hashes = rollingHashes(tokens, 7)
  expect(hashes).toHaveLength(194)
  hashes.forEach((hash, row) => {
    expect(rollingHashes(tokens.slice(row, row + 7), 7)[0]).toBe(hash)
  })
})

describe('time', () => {
  const random = seededRandom(5)
  const length = 8192
  const plain = Int32Array.from({ length }, () => random.integer(49152))
  const cases: [string, () => Int32Array][] = [
    ['one token', () => new Int32Array(length).fill(7)],
    ['a period of five', () => Int32Array.from({ length }, (_, row) => row % 5)],
    ['two tokens at random', () => Int32Array.from({ length }, () => random.integer(2))],
    [
      'periods with faults',
      () => Int32Array.from({ length }, (_, row) => (row % 97 === random.integer(97) ? 9 : row % 5)),
    ],
    ['other tokens', () => Int32Array.from({ length }, () => random.integer(49152))],
    ['the same tokens, some replaced', () => plain.map((token) => (random.integer(9) === 0 ? 1 : token))],
  ]

  /** The shorter of several runs, in ms. */
  const leastMs = (run: () => void) => {
    const times = Array.from({ length: 7 }, () => {
      const start = performance.now()
      run()
      return performance.now() - start
    })
    return Math.min(...times)
  }

  // Measured: 4 to 120 times.
  test.each(cases)('8k tokens of %s against three donors of 8k take at most 300 times their hashes', (_, make) => {
    const donors = ['a', 'b', 'c'].map((id) => ({ id, tokens: make() }))
    const target = make()
    expectTrue(alignRuns(target, donors, { minRunTokens: 5 }), target, donors)
    const alignMs = leastMs(() => alignRuns(target, donors, { minRunTokens: 5 }))
    const hashMs = leastMs(() => {
      for (const { tokens } of [...donors, { tokens: target }]) rollingHashes(tokens, 5)
    })
    expect(alignMs / hashMs).toBeLessThan(300)
  })
})

test('misuse', () => {
  expect(() => alignRuns(words('1'), [], { minRunTokens: 0 })).toThrow(/minRunTokens: expected an integer >= 1/)
  expect(() => alignRuns(words('1'), [], { minRun: 3 } as never)).toThrow(/Did you mean minRunTokens/)
})
