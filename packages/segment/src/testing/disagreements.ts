import { lexiconFor } from '../lexicon.ts'
import type { Agreement } from './agreement.ts'

/** A kind of disagreement: who has the boundary, and a test on the text before it (trimmed) and from it on. The first that fits counts. */
interface DisagreementClass {
  readonly name: string
  readonly fits: (before: string, after: string) => boolean
}

const abbreviations = lexiconFor(['en']).abbreviations
const endsLine = (before: string): boolean => !/[.!?…]["'”’)\]_*]*$/.test(before)
const wordBefore = (before: string): string => /([\p{L}.]+)\.$/u.exec(before)?.[1] ?? ''

const theirClasses: readonly DisagreementClass[] = [
  { name: 'before a mark that closes', fits: (_, after) => /^["'”’)_»\]]+(?:[^\p{L}]|$)/u.test(after) },
  { name: 'before a footnote mark', fits: (_, after) => /^\[\d+\]/.test(after) },
  { name: 'before a dash, comma or dots', fits: (_, after) => /^(?:--|[—–,;]|\.\.)/.test(after) },
  {
    name: 'before "I said" after a quotation',
    fits: (before, after) => /[!?.]["'”’]$/.test(before) && /^I\s/.test(after),
  },
  { name: 'after an abbreviation', fits: (before) => abbreviations.has(wordBefore(before)) },
  {
    name: 'after a Roman number or a marker',
    fits: (before) => /(?:^|\s)[IVXLC]+\.$|(?:^|\n)\s*\w{1,3}\.$/.test(before),
  },
  { name: 'before a small letter', fits: (_, after) => /^["'“‘(]*\p{Ll}/u.test(after) },
  { name: 'in a quotation or bracket that we keep together', fits: isEnclosed },
  {
    name: 'in a quotation that its paragraph does not close',
    fits: (before) => lastParagraph(before).split('"').length % 2 === 0 || /“[^”]*$/.test(lastParagraph(before)),
  },
]

const ourClasses: readonly DisagreementClass[] = [
  { name: 'at the end of a line without a stop', fits: endsLine },
  { name: 'in a long quotation or bracket', fits: isEnclosed },
  {
    name: 'after a word that they take for an abbreviation',
    fits: (before) => /(?<![\p{L}\d])\p{L}{1,4}\.$/u.test(before),
  },
  {
    name: 'beside an apostrophe that they take for a quotation mark',
    fits: (before, after) =>
      after.startsWith("'") || (/'/.test(lastParagraph(before)) && /'/.test(firstParagraph(after))),
  },
  { name: 'after a mark that closes', fits: (before) => /[.!?]["'”’)\]_]+$/.test(before) },
]

export interface Disagreement {
  readonly side: 'ours' | 'theirs'
  readonly name: string
  readonly offsets: readonly number[]
}

/** The boundaries of one side alone, by class, the largest class first. */
export function disagreementsOf(text: string, { oursOnly, theirsOnly }: Agreement): Disagreement[] {
  return [...classify(text, 'ours', oursOnly, ourClasses), ...classify(text, 'theirs', theirsOnly, theirClasses)]
}

function classify(
  text: string,
  side: Disagreement['side'],
  offsets: readonly number[],
  classes: readonly DisagreementClass[],
): Disagreement[] {
  const found = new Map<string, number[]>()
  for (const offset of offsets) {
    const before = text.slice(Math.max(0, offset - 4000), offset).trimEnd()
    const after = text.slice(offset, offset + 4000)
    const name = classes.find(({ fits }) => fits(before, after))?.name ?? 'other'
    found.set(name, [...(found.get(name) ?? []), offset])
  }
  return [...found]
    .map(([name, where]) => ({ side, name, offsets: where }))
    .sort((a, b) => b.offsets.length - a.offsets.length)
}

const lastParagraph = (before: string): string => before.slice(before.lastIndexOf('\n\n') + 1)
const firstParagraph = (after: string): string => after.split('\n\n', 1)[0]

/** True between quotation marks or brackets of one paragraph. */
function isEnclosed(before: string, after: string): boolean {
  const left = lastParagraph(before)
  const right = firstParagraph(after)
  const isIn = (open: string, close: string): boolean =>
    open === close
      ? left.split(open).length % 2 === 0 && right.includes(close)
      : left.lastIndexOf(open) > left.lastIndexOf(close) && right.includes(close)
  return isIn('"', '"') || isIn('“', '”') || isIn('‘', '’') || isIn('(', ')') || isIn('[', ']') || isIn('«', '»')
}
