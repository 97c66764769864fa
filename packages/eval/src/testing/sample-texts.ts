import type { Article, PairTexts } from '../pairs/pair-data.ts'

/** Articles of our own, no two sentences alike. */
export function sampleTexts(numArticles: number): PairTexts {
  const articles = Array.from({ length: numArticles }, (_, i): Article => {
    const textOf = (level: string) =>
      Array.from({ length: 20 }, (_, line) => `Boat ${i} takes load ${line} over the ${level} sound.`).join(' ')
    const [adv, int, ele] = ['wide', 'cold', 'dark'].map(textOf)
    return { id: `a${i}`, adv, int, ele, approx_tokens: { adv: 200, int: 200, ele: 200 } }
  })
  return { articles, plans: [], chapters: [], clusters: [], missing: [] }
}
