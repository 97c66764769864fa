import {
  type CachePolicy,
  checkInteger,
  checkKeys,
  droppedSpans,
  type Effects,
  type LayerShape,
  requireCapabilities,
  runsOfIndices,
  type Selection,
  type Span,
  type StepView,
} from '@kvasir/core'
import { checkBudget } from './budget.ts'
import { indicesOutside } from './rows-outside.ts'
import { SentenceList } from './sentence-list.ts'
import { type SentenceChooser, SentenceSession } from './sentence-session.ts'

export interface RandomSentencesOptions {
  /** Tokens that attention reads at a step. Required. */
  readonly budgetTokens: number
  /** First tokens of the sequence, always read. @default 4 */
  readonly sinkTokens?: number
  /** Last tokens, always read. @default 16 */
  readonly recentTokens?: number
  /** @default 0 */
  readonly seed?: number
}

type Resolved = Required<RandomSentencesOptions>

/** Sinks, recent tokens and sentences drawn at random each step, one draw a KV head for all layers: the floor of every comparison. */
export function randomSentences(options: RandomSentencesOptions): CachePolicy {
  const resolved = resolveOptions(options)
  return Object.freeze<CachePolicy>({
    name: 'random',
    effects: Object.freeze<Effects>({ slots: ['retain', 'append', 'select'], fidelity: 'lossy', selectScope: 'layer' }),
    bind: (engine) => requireCapabilities('random', engine, ['select.runs']),
    open: (sequence) => new SentenceSession(sequence, SentenceList.open(), () => new RandomChooser(resolved)),
  })
}

function resolveOptions(options: RandomSentencesOptions): Resolved {
  checkKeys('RandomSentencesOptions', options, ['budgetTokens', 'sinkTokens', 'recentTokens', 'seed'])
  const sinkTokens = checkInteger('sinkTokens', options.sinkTokens ?? 4, 0)
  const recentTokens = checkInteger('recentTokens', options.recentTokens ?? 16, 1)
  const budgetTokens = checkBudget(options.budgetTokens, sinkTokens + recentTokens)
  return { budgetTokens, sinkTokens, recentTokens, seed: checkInteger('seed', options.seed ?? 0, 0, 2 ** 32 - 1) }
}

class RandomChooser implements SentenceChooser {
  readonly pooledTokens = 0
  readonly #options: Resolved
  /** What was drawn at this step for each KV head: layers that dropped the same rows share it. */
  #drawn: { readonly dropped: readonly Span[]; readonly rows: number[] }[] = []

  constructor(options: Resolved) {
    this.#options = options
  }

  choose({ layer, numTokens, kv }: StepView, { numKvHeads }: LayerShape, sentences: SentenceList): Selection {
    if (layer === 0) this.#drawn = []
    const rows = Array.from({ length: numKvHeads }, (_, kvHead) => {
      const dropped = droppedSpans(kv, layer as number, kvHead)
      if (this.#drawn[kvHead]?.dropped !== dropped) {
        this.#drawn[kvHead] = { dropped, rows: this.#draw(numTokens, kvHead, dropped, sentences) }
      }
      return this.#drawn[kvHead].rows
    })
    return { kind: 'runs', runs: runsOfIndices(rows) }
  }

  /** Indices of one KV head, ascending: the last sentence drawn is cut where the budget ends. */
  #draw(numTokens: number, kvHead: number, dropped: readonly Span[], sentences: SentenceList): number[] {
    const { budgetTokens, sinkTokens, recentTokens, seed } = this.#options
    const chosen = new Set<number>()
    const read = (start: number, end: number) => {
      for (const index of indicesOutside(dropped, start, end)) if (chosen.size < budgetTokens) chosen.add(index)
    }
    read(0, Math.min(sinkTokens, numTokens))
    read(Math.max(0, numTokens - recentTokens), numTokens)
    const random = xorshift(seed ^ Math.imul(numTokens, 0x9e3779b1) ^ Math.imul(kvHead + 1, 0x85ebca6b))
    const order = sentences.spans(numTokens)
    for (let left = order.length; left > 0 && chosen.size < budgetTokens; left--) {
      const pick = Math.floor(random() * left)
      const { start, end } = order[pick]
      order[pick] = order[left - 1]
      read(start, end)
    }
    return [...chosen].sort((a, b) => a - b)
  }
}

/** Marsaglia's 32-bit xorshift: numbers in [0, 1). */
function xorshift(seed: number): () => number {
  let state = seed | 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}
