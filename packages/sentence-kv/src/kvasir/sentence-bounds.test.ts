import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SentenceBounds } from './sentence-bounds.ts'

const words = [
  'A',
  ' word',
  ' Mr',
  '.',
  '.',
  '!',
  ' 3',
  '?"',
  '\n',
  '\n\n',
  '',
  ' (e.g.',
  ',',
  ' no',
  'x'.repeat(40),
  '語',
  '。',
]
const text = fc.array(fc.constantFrom(...words), { maxLength: 200, size: 'max' })
const limits = fc.record({ min: fc.integer({ min: 1, max: 6 }), more: fc.integer({ min: 0, max: 12 }) })

/** The ends after each token. */
function run(bounds: SentenceBounds, pieces: readonly string[]): number[][] {
  return pieces.map((piece) => bounds.push(piece))
}

test('a sentence is closed by the token that proves its end', () => {
  const bounds = SentenceBounds.open(1, 64)
  expect(run(bounds, ['It', ' rains', '.', ' We', ' stay'])).toEqual([[], [], [], [3], []])
  expect([bounds.numTokens, bounds.closedTokens]).toEqual([5, 3])
})

test('a model without text has segments of the greatest length', () => {
  const bounds = SentenceBounds.open(4, 8)
  const ends = run(bounds, new Array(40).fill('')).flat()
  expect(ends).toEqual([8, 16, 24, 32])
})

test('with a piece length, a closed sentence comes in pieces that end at clause marks', () => {
  const bounds = SentenceBounds.open(1, 64, 6)
  const pieces = ['When', ' it', ' rains', ',', ' we', ' all', ' stay', '.', ' Yes', '.', ' And']
  expect(run(bounds, pieces).flat()).toEqual([4, 8, 10])
  bounds.truncate(7)
  expect(bounds.closedTokens).toBe(0)
  expect(run(bounds, ['.', ' Yes', '.', ' And']).flat()).toEqual([4, 8, 10])
})

describe('whatever the text', () => {
  test('ends ascend, segments are at most maxTokens long, and fewer than twice as many tokens are open', () => {
    fc.assert(
      fc.property(text, limits, (pieces, { min, more }) => {
        const bounds = SentenceBounds.open(min, min + more)
        let closed = 0
        for (const piece of pieces) {
          for (const end of bounds.push(piece)) {
            expect(end).toBeGreaterThan(closed)
            expect(end - closed).toBeLessThanOrEqual(min + more)
            closed = end
          }
          expect(bounds.closedTokens).toBe(closed)
          expect(closed).toBeLessThanOrEqual(bounds.numTokens)
          expect(bounds.numTokens - closed).toBeLessThan(2 * (min + more))
        }
      }),
    )
  })

  test('pieces cut sentences and nothing else, and are no longer than they may be', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 12 }), (pieces, pieceTokens) => {
        const whole = run(SentenceBounds.open(4, 32), pieces).flat()
        const cut = run(SentenceBounds.open(4, 32, pieceTokens), pieces).flat()
        expect(cut).toEqual(expect.arrayContaining(whole))
        cut.forEach((end, i) => {
          expect(end - (cut[i - 1] ?? 0)).toBeLessThanOrEqual(pieceTokens)
          expect(end).toBeGreaterThan(cut[i - 1] ?? 0)
        })
        expect(cut.at(-1)).toBe(whole.at(-1))
      }),
    )
  })

  test('after a truncate all goes on as in a fresh run', () => {
    fc.assert(
      fc.property(text, text, fc.nat(200), limits, (pieces, others, cut, { min, more }) => {
        const kept = Math.min(cut, pieces.length)
        const pieceTokens = more % 2 === 0 ? null : more
        const back = SentenceBounds.open(min, min + more, pieceTokens)
        run(back, pieces)
        back.truncate(kept)
        const fresh = SentenceBounds.open(min, min + more, pieceTokens)
        run(fresh, pieces.slice(0, kept))
        expect(back.closedTokens).toBe(fresh.closedTokens)
        expect(run(back, others)).toEqual(run(fresh, others))
      }),
    )
  })

  test('a clone and its original go on alike, each by itself', () => {
    fc.assert(
      fc.property(text, text, (pieces, others) => {
        const bounds = SentenceBounds.open(4, 16, 5)
        run(bounds, pieces)
        const clone = bounds.clone()
        run(bounds, ['Something', ' else', '.', ' Quite'])
        const fresh = SentenceBounds.open(4, 16, 5)
        run(fresh, pieces)
        expect(run(clone, others)).toEqual(run(fresh, others))
      }),
    )
  })
})
