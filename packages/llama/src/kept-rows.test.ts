import { indicesOfRow, runsOfIndices } from '@kvasir/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { countChosen, type KeptPrompt } from './kept-rows.ts'

const rowsOf = (numRows: number) =>
  fc.array(fc.uniqueArray(fc.nat(99), { maxLength: 60, size: 'max' }), { minLength: numRows, maxLength: numRows })
const listOf = (rows: readonly (readonly number[])[]) =>
  runsOfIndices(rows.map((row) => [...row].sort((a, b) => a - b)))

test('of a selection it counts what was kept and what came later, also where query heads choose for themselves', () => {
  fc.assert(
    fc.property(rowsOf(2), fc.oneof(rowsOf(2), rowsOf(6)), fc.nat(100), (kept, chosen, endTokens) => {
      const lists = [listOf(kept.map((row) => row.filter((index) => index < endTokens)))]
      const prompt = { lists, endTokens } as unknown as KeptPrompt
      const runs = listOf(chosen)
      const plain = chosen.flatMap((row, at) => {
        const held = indicesOfRow(lists[0], Math.floor((at * 2) / chosen.length))
        return row.filter((index) => index >= endTokens || held.includes(index))
      })
      expect(countChosen(prompt, 0, runs)).toBe(plain.length / (chosen.length / 2))
    }),
  )
})
