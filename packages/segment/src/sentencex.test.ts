import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { agreementOf, ourStarts, readMarked, theirStarts } from './testing/agreement.ts'
import { disagreementsOf } from './testing/disagreements.ts'
import { ownTexts } from './testing/own-texts.ts'

// sentencex is a segmenter by other people, written by other rules. Where the two differ and who is right: docs/results/segmentation.md.

const data = process.env.KVASIR_DATA ?? `${import.meta.dirname}/../../../../shared/data/open`
const names = ['books/10002', 'books/10146', 'books/10762', 'haystack/11505']
const read = (name: string): string => readFileSync(`${data}/${name}.txt`, 'utf8').replaceAll('\r\n', '\n')

describe('boundaries', () => {
  it.each(Object.entries(ownTexts))('are where they belong in prose of our own: %s', (language, marked) => {
    const { text, starts } = readMarked(marked)
    expect([...ourStarts(language, text)]).toEqual([...starts])
  })
})

describe('boundaries beside those of sentencex', () => {
  it.each(Object.entries(ownTexts))('agree to an F1 of 0.97 in prose of our own: %s', (language, marked) => {
    const { text } = readMarked(marked)
    expect(agreementOf(ourStarts(language, text), theirStarts(language, text)).f1).toBeGreaterThan(0.97)
  })

  it.skipIf(!existsSync(data)).each(names)('agree to an F1 of 0.97 in %s', (name) => {
    const text = read(name)
    expect(agreementOf(ourStarts('en', text), theirStarts('en', text)).f1).toBeGreaterThan(0.97)
  })

  it.skipIf(!existsSync(data)).each(names)('differ in %s for reasons that are known', (name) => {
    const text = read(name)
    const agreement = agreementOf(ourStarts('en', text), theirStarts('en', text))
    const other = disagreementsOf(text, agreement).filter(({ name: kind }) => kind === 'other')
    const numOther = other.reduce((sum, { offsets }) => sum + offsets.length, 0)
    expect(numOther).toBeLessThan(0.05 * (agreement.oursOnly.length + agreement.theirsOnly.length))
  })
})
