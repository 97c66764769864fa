import { existsSync, readFileSync } from 'node:fs'
import { segment } from 'sentencex'
import { describe, expect, it } from 'vitest'
import { sentences } from './sentences.ts'

// sentencex is a segmenter by other people, written by other rules. It keeps quotations and brackets whole, where Kvasir cuts
// inside of them; boundaries there are left out of the comparison. Its offsets drift, so its pieces are looked up in the text instead.

/** Offsets at which the sentences of sentencex begin, but for the first. */
function theirStarts(language: string, text: string): Set<number> {
  const starts = new Set<number>()
  let end = 0
  for (const piece of segment(language, text)) {
    const visible = piece.trim()
    if (visible === '') continue
    const start = text.indexOf(visible, end)
    expect(start, `sentencex lost ${visible}`).toBeGreaterThanOrEqual(end)
    starts.add(start)
    end = start + visible.length
  }
  starts.delete(firstVisible(text, 0))
  return starts
}

function ourStarts(language: 'en' | 'de' | 'fr' | 'es', text: string): Set<number> {
  const starts = sentences(text, { languages: [language] }).map(({ start }) => firstVisible(text, start))
  return new Set(starts.slice(1).filter((start) => start < text.length))
}

function firstVisible(text: string, start: number): number {
  let offset = start
  while (offset < text.length && /\s/.test(text[offset])) offset++
  return offset
}

/** True if `offset` lies between quotation marks or brackets of its paragraph. */
function isEnclosed(text: string, offset: number): boolean {
  const before = text.slice(text.lastIndexOf('\n\n', offset - 1) + 1, offset)
  const paragraphEnd = text.indexOf('\n\n', offset)
  const after = text.slice(offset, paragraphEnd === -1 ? text.length : paragraphEnd)
  const isIn = (open: string, close: string): boolean =>
    open === close
      ? before.split(open).length % 2 === 0 && after.includes(close)
      : before.lastIndexOf(open) > before.lastIndexOf(close) && after.includes(close)
  return isIn('"', '"') || isIn('“', '”') || isIn('(', ')') || isIn('[', ']') || isIn('«', '»')
}

function agreement(language: 'en' | 'de' | 'fr' | 'es', text: string): number {
  const theirs = theirStarts(language, text)
  const ours = [...ourStarts(language, text)].filter((start) => theirs.has(start) || !isEnclosed(text, start))
  const both = ours.filter((start) => theirs.has(start)).length
  return (2 * both) / (ours.length + theirs.size)
}

const texts = {
  en:
    'The lighthouse on Grey Point was built in 1871. It cost £4.2 million, or so Mr. Harlan claimed. Was he right? Nobody asked! ' +
    'In those days the keeper, Capt. Ann Rowe, lived there alone, and she wrote to the board every week. "The lamp burns well," she said. ' +
    'Her letters are kept in the county archive.\n\nThe first storm came on 3 March 1874 at about 9.30 in the evening. Three ships were lost, e.g. the ' +
    'Marigold, which had sailed from Hull. See https://example.org/storm.html for a map. The tower itself stood firm... Later it was raised by six feet.',
  de:
    'Der Turm steht seit 1871 auf dem Felsen. Er kostete viel Geld, wie Dr. Falk schrieb. War das nötig? Niemand fragte! ' +
    'Am Abend brannte die Lampe, z.B. im Winter. Die Briefe liegen heute im Archiv.',
  fr:
    'La tour se dresse sur le rocher depuis 1871. Elle a coûté cher, selon Mme Carnot. Était-ce utile ? Personne ne le sait ! ' +
    'Le soir, la lampe brûlait toujours. Les lettres sont aux archives.',
  es:
    'La torre está en la roca desde 1871. Costó mucho, según el Sr. Paz. ¿Era necesaria? ¡Nadie preguntó! ' +
    'Por la noche ardía la lámpara. Las cartas están en el archivo.',
} as const

describe('boundaries beside those of sentencex', () => {
  it.each(Object.entries(texts))('are the same in plain prose: %s', (language, text) => {
    expect(agreement(language as keyof typeof texts, text)).toBe(1)
  })

  const books = `${process.env.KVASIR_DATA ?? `${import.meta.dirname}/../../../../shared/data/open`}/books`
  const names = ['10002', '10146', '10762']
  it.skipIf(!existsSync(books)).each(names)('agree to an F1 of 0.97 in the book %s', (name) => {
    expect(agreement('en', readFileSync(`${books}/${name}.txt`, 'utf8').replaceAll('\r\n', '\n'))).toBeGreaterThan(0.97)
  })
})
