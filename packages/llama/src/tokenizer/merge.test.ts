import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { mergeSymbols, mergeSymbolsReference } from './merge.ts'
import { mergeTable } from './merge-table.ts'
import { tokenIndex } from './token-index.ts'

/** A random vocabulary over four letters: each merge joins two tokens that are there already. */
const vocabulary = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 24 }).map((pairs) => {
  const tokens = ['a', 'b', 'c', 'd']
  const merges: string[] = []
  for (const [i, j] of pairs) {
    const left = tokens[i % tokens.length]
    const right = tokens[j % tokens.length]
    const merge = `${left} ${right}`
    if (merges.includes(merge)) continue
    merges.push(merge)
    if (!tokens.includes(left + right)) tokens.push(left + right)
  }
  return { tokens, merges }
})

describe('mergeSymbols', () => {
  it('equals the definition', () => {
    fc.assert(
      fc.property(vocabulary, fc.array(fc.nat(3), { maxLength: 60 }), ({ tokens, merges }, symbols) => {
        const table = mergeTable(merges, tokenIndex(tokens))
        expect(mergeSymbols(Int32Array.from(symbols), table)).toEqual(mergeSymbolsReference(symbols, table))
      }),
      { numRuns: 3000 },
    )
  })

  it('takes the leftmost of equal ranks', () => {
    const table = mergeTable(['a a'], tokenIndex(['a', 'aa']))
    expect(mergeSymbols(Int32Array.of(0, 0, 0), table)).toEqual([1, 0])
  })

  it('takes a run of a hundred thousand equal letters in far less than quadratic time', () => {
    const table = mergeTable(['a a', 'aa aa'], tokenIndex(['a', 'aa', 'aaaa']))
    const start = performance.now()
    expect(mergeSymbols(new Int32Array(100_000), table)).toEqual(new Array(25_000).fill(2))
    expect(performance.now() - start).toBeLessThan(5000)
  })
})

describe('mergeTable', () => {
  it('ranks pairs by their place, the first of equals', () => {
    const table = mergeTable(['a b', 'ab a', 'a b'], tokenIndex(['a', 'b', 'ab', 'aba']))
    expect([table.rankOf(0, 1), table.rankOf(2, 0), table.rankOf(1, 0)]).toEqual([0, 1, -1])
  })

  it.each(['ab', 'a c', 'c a', 'b a', ''])('refuses the merge %j', (merge) => {
    expect(() => mergeTable([merge], tokenIndex(['a', 'b', 'ab']))).toThrow('tokenizer.ggml.merges[0]')
  })
})

describe('tokenIndex', () => {
  it('finds what a Map finds', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ maxLength: 6 }), { maxLength: 50 }),
        fc.string({ maxLength: 6 }),
        (tokens, other) => {
          const index = tokenIndex(tokens)
          const map = new Map(tokens.map((token, id) => [token, id]))
          for (const text of [...tokens, other]) expect(index.find(text)).toBe(map.get(text) ?? -1)
        },
      ),
    )
  })

  it('finds parts of a string, and a string without one character', () => {
    const index = tokenIndex(['ab', 'cd', 'abcd', ''])
    expect(index.find('ab cd', 0, 2)).toBe(0)
    expect(index.find('ab cd', 3)).toBe(1)
    expect(index.find('ab cd', 0, 5, 2)).toBe(2)
    expect(index.find('ab cd', 0, 5)).toBe(-1)
    expect(index.find('ab cd', 1, 1)).toBe(3)
  })
})
