import type { CaseFilter, CaseList } from '../eval-case.ts'
import { groupBy } from '../group-by.ts'
import { identicalPairs, reorderPairs, replacePairs, shiftPairs } from './edited-pairs.ts'
import type { PairCase, PairKind } from './pair-case.ts'
import { type PairTexts, readPairTexts } from './pair-data.ts'
import { swapPairs } from './swap-pairs.ts'
import {
  newsPairs,
  onestopPairs,
  translationPairs,
  unrelatedChapterPairs,
  unrelatedNewsPairs,
  unrelatedOnestopPairs,
} from './written-pairs.ts'

type MakePairs = (texts: PairTexts, length: number) => PairCase[]

const makers: Readonly<Record<PairKind, readonly MakePairs[]>> = {
  identical: [identicalPairs],
  onestop: [onestopPairs],
  nt: [translationPairs],
  multinews: [newsPairs],
  reorder: [reorderPairs],
  shift: [shiftPairs],
  replace: [replacePairs],
  swap: [swapPairs],
  unrelated: [unrelatedOnestopPairs, unrelatedChapterPairs, unrelatedNewsPairs],
}

const pairLengths: readonly number[] = [1024, 2048, 4096, 5120]

/** Most cases of a variant; of `onestop` and `swap` there are all. */
const mostOfVariant = 8

/** Pairs of prompts at each length, kind by kind; the first ones of a kind are of different variants. */
export function listPairCases(dataDir: string, { lengths, limit, kinds }: CaseFilter): CaseList {
  const texts = readPairTexts(dataDir)
  const wanted = (lengths ?? pairLengths).filter((length) => pairLengths.includes(length))
  const cases = wanted.flatMap((length) =>
    (Object.keys(makers) as PairKind[])
      .filter((kind) => kinds?.includes(kind) ?? true)
      .flatMap((kind) => {
        const made = makers[kind].flatMap((make) => make(texts, length))
        const most = kind === 'onestop' || kind === 'swap' ? Number.POSITIVE_INFINITY : mostOfVariant
        return inTurns(made, most).slice(0, limit)
      }),
  )
  return { cases, missing: texts.missing }
}

/** The first cases of all variants, then the second ones, ..., at most `most` of each. */
function inTurns(cases: readonly PairCase[], most: number): PairCase[] {
  const variants = [...groupBy(cases, ({ variant }) => variant).values()].map((some) => some.slice(0, most))
  const longest = Math.max(0, ...variants.map((some) => some.length))
  return Array.from({ length: longest }, (_, i) => variants.flatMap((some) => some.slice(i, i + 1))).flat()
}
