import { groupBy } from '../group-by.ts'
import { type PairCase, pairCase, summarize } from './pair-case.ts'
import {
  type Chapter,
  chapterPassage,
  type PairTexts,
  type PlannedPair,
  passageOf,
  type Translation,
} from './pair-data.ts'
import { groupsOf, joinTexts } from './passages.ts'

/** Pairs whose two texts were written by people: levels, translations, reports of one event. */

/** The plan's own lengths: 1,024, 2,048, 4,096 and 5,120. */
export function onestopPairs({ articles, plans }: PairTexts, length: number): PairCase[] {
  const textOf = textsOf(articles)
  return plansAt(plans, length).map((plan) =>
    pairCase('onestop', variantOf(plan), length, plan.id, {
      donor: summarize(textOf(plan.reference)),
      target: summarize(textOf(plan.target)),
    }),
  )
}

function variantOf({ reference_level, reference_order }: PlannedPair): string {
  return `${reference_level}->adv${reference_order === 'same' ? '' : ` ${reference_order}`}`
}

/** The reference of another plan of the same length. */
export function unrelatedOnestopPairs({ articles, plans }: PairTexts, length: number): PairCase[] {
  const textOf = textsOf(articles)
  const byId = new Map(plans.map((plan) => [plan.id, plan]))
  return plansAt(plans, length).flatMap((plan) => {
    const other = byId.get(plan.unrelated_reference)
    if (!other) return []
    const prompts = { donor: summarize(textOf(other.reference)), target: summarize(textOf(plan.target)) }
    return [pairCase('unrelated', 'onestop', length, plan.id, prompts)]
  })
}

function plansAt(plans: readonly PlannedPair[], length: number): PlannedPair[] {
  return plans.filter((plan) => plan.length === length)
}

function textsOf(articles: PairTexts['articles']): (parts: PlannedPair['target']) => string {
  const byId = new Map(articles.map((article) => [article.id, article]))
  return (parts) =>
    joinTexts(
      parts.flatMap(([id, level]) => {
        const article = byId.get(id)
        return article ? [passageOf(article, level)] : []
      }),
    )
}

const translations: readonly (readonly [Translation, Translation])[] = [
  ['oeb', 'twenty'],
  ['noyes', 'anderson'],
  ['noyes', 'twenty'],
  ['anderson', 'twenty'],
]

/** The same chapters in another translation; neighbours of one book are joined up to the length. */
export function translationPairs({ chapters }: PairTexts, length: number): PairCase[] {
  return translations.flatMap(([from, to]) =>
    chapterGroups(chapters, to, length).map((group) =>
      pairCase('nt', `${from}->${to}`, length, nameOf(group), {
        donor: summarize(chaptersText(group, from)),
        target: summarize(chaptersText(group, to)),
      }),
    ),
  )
}

/** Other chapters in the same translation. */
export function unrelatedChapterPairs({ chapters }: PairTexts, length: number): PairCase[] {
  const groups = chapterGroups(chapters, 'twenty', length)
  const half = Math.floor(groups.length / 2)
  return groups.slice(0, half).map((group, at) =>
    pairCase('unrelated', 'nt', length, nameOf(group), {
      donor: summarize(chaptersText(groups[at + half], 'twenty')),
      target: summarize(chaptersText(group, 'twenty')),
    }),
  )
}

/** Whole chapters only: a cut would not be the same in two translations. */
function chapterGroups(chapters: readonly Chapter[], to: Translation, length: number): Chapter[][] {
  const groups: Chapter[][] = []
  const whole = chapters.filter(({ complete }) => complete)
  for (const book of groupBy(whole, ({ book }) => book).values()) {
    let group: Chapter[] = []
    let sum = 0
    const close = () => {
      if (sum > 0.75 * length) groups.push(group)
      group = []
      sum = 0
    }
    for (const chapter of book) {
      const { [to]: tokens } = chapter.approx_tokens
      if (sum + tokens > 1.25 * length) close()
      if (tokens > 1.25 * length) continue
      group.push(chapter)
      sum += tokens
    }
    close()
  }
  return groups
}

function chaptersText(group: readonly Chapter[], translation: Translation): string {
  return joinTexts(group.map((chapter) => chapterPassage(chapter, translation)))
}

function nameOf(group: readonly Chapter[]): string {
  return group.length === 1 ? group[0].id : `${group[0].id}+${group.length - 1}`.replaceAll(' ', '')
}

/** The second report of each event where the first was read; events are joined up to the length of the second ones. */
export function newsPairs({ clusters }: PairTexts, length: number): PairCase[] {
  return newsGroups(clusters, length).map(({ name, first, second }) =>
    pairCase('multinews', 'same-event', length, name, { donor: summarize(first), target: summarize(second) }),
  )
}

/** First reports of other events. */
export function unrelatedNewsPairs({ clusters }: PairTexts, length: number): PairCase[] {
  const groups = newsGroups(clusters, length)
  const half = Math.floor(groups.length / 2)
  return groups.slice(0, half).map(({ name, second }, at) =>
    pairCase('unrelated', 'multinews', length, name, {
      donor: summarize(groups[at + half].first),
      target: summarize(second),
    }),
  )
}

function newsGroups(clusters: PairTexts['clusters'], length: number) {
  const byId = new Map(clusters.map((cluster) => [cluster.id, cluster]))
  const seconds = clusters.map(({ id, articles, approx_tokens }) => ({
    id,
    text: articles[1],
    tokens: approx_tokens[1],
  }))
  return groupsOf(seconds, length).map((group) => ({
    name: group.length === 1 ? group[0].id : `${group[0].id}+${group.length - 1}`,
    first: group.map(({ id }) => byId.get(id)?.articles[0]).join('\n\n'),
    second: joinTexts(group),
  }))
}
