import {
  type CachePolicy,
  checkFlag,
  checkInteger,
  checkKeys,
  droppedSpans,
  type Effects,
  type LayerShape,
  requireCapabilities,
  runsOfIndices,
  type Selection,
  type StepView,
} from '@kvasir/core'
import type { SegmentOptions } from '@kvasir/segment'
import { checkBudget } from './budget.ts'
import { indicesOutside } from './rows-outside.ts'
import { chooseSentences, type WeighedRows } from './sentence-choice.ts'
import { SentenceList } from './sentence-list.ts'
import { type SentenceChooser, SentenceSession } from './sentence-session.ts'

export interface OracleSentencesOptions {
  /** Tokens a KV head that attention reads at a step; with jointHeads the mean over a layer's KV heads. Required. */
  readonly budgetTokens: number
  /** First tokens of the sequence, always read. @default 4 */
  readonly sinkTokens?: number
  /** Last tokens, always read. @default 16 */
  readonly recentTokens?: number
  /** Shorter sentences join the next. @default 4 */
  readonly minSegmentTokens?: number
  /** Longer sentences are cut. @default 64 */
  readonly maxSegmentTokens?: number
  /** One budget a layer, shared by its KV heads; otherwise the same for each. @default false */
  readonly jointHeads?: boolean
}

interface Resolved {
  readonly budgetTokens: number
  readonly sinkTokens: number
  readonly recentTokens: number
  readonly jointHeads: boolean
  readonly segments: SegmentOptions
}

/**
 * Sinks, recent tokens and the whole sentences with the most true attention a token, of the full cache at the step; the
 * last one is cut to its best tokens where the budget ends. No choice of whole sentences holds more attention, so beside
 * the oracle of tokens it tells what sentences cost, and beside a policy of sentences what its ranking costs.
 */
export function oracleSentences(options: OracleSentencesOptions): CachePolicy {
  const resolved = resolveOptions(options)
  return Object.freeze<CachePolicy>({
    name: 'oracle:sentence',
    effects: Object.freeze<Effects>({ slots: ['retain', 'append', 'select'], fidelity: 'lossy', selectScope: 'layer' }),
    bind: (engine) => requireCapabilities('oracle:sentence', engine, ['select.runs', 'observe.attention-weights']),
    open: (sequence) =>
      new SentenceSession(sequence, SentenceList.open(resolved.segments), () => new OracleChooser(resolved)),
  })
}

const optionNames = [
  'budgetTokens',
  'sinkTokens',
  'recentTokens',
  'minSegmentTokens',
  'maxSegmentTokens',
  'jointHeads',
] as const

function resolveOptions(options: OracleSentencesOptions): Resolved {
  checkKeys('OracleSentencesOptions', options, optionNames)
  const sinkTokens = checkInteger('sinkTokens', options.sinkTokens ?? 4, 0)
  const recentTokens = checkInteger('recentTokens', options.recentTokens ?? 16, 1)
  const minTokens = checkInteger('minSegmentTokens', options.minSegmentTokens ?? 4, 1)
  return {
    budgetTokens: checkBudget(options.budgetTokens, sinkTokens + recentTokens),
    sinkTokens,
    recentTokens,
    jointHeads: checkFlag('jointHeads', options.jointHeads ?? false),
    segments: { minTokens, maxTokens: checkInteger('maxSegmentTokens', options.maxSegmentTokens ?? 64, minTokens) },
  }
}

/** Keeps nothing but its count from step to step. */
class OracleChooser implements SentenceChooser {
  readonly #options: Resolved
  #pooledTokens = 0

  constructor(options: Resolved) {
    this.#options = options
  }

  get pooledTokens(): number {
    return this.#pooledTokens
  }

  choose(step: StepView, { numKvHeads }: LayerShape, list: SentenceList): Selection {
    const { budgetTokens, sinkTokens, recentTokens, jointHeads } = this.#options
    const { numTokens } = step
    if (numTokens <= budgetTokens) return { kind: 'all' }
    const [from, to] = [sinkTokens, numTokens - recentTokens]
    const heads = Array.from({ length: numKvHeads }, (_, kvHead) => weighRows(step, kvHead))
    for (const { rows } of heads) this.#pooledTokens += rows.length
    const always = heads.map(({ rows }) => rows.filter((row) => row < from || row >= to))
    const others = heads.map(({ rows, mass }) => ({
      rows: rows.filter((row) => row >= from && row < to),
      mass: mass.filter((_, at) => rows[at] >= from && rows[at] < to),
    }))
    const rooms = always.map(({ length }) => budgetTokens - length)
    const sentences = list.spans(numTokens)
    const shared = rooms.reduce((sum, room) => sum + room, 0)
    const chosen = jointHeads
      ? chooseSentences(others, sentences, shared)
      : others.flatMap((head, kvHead) => chooseSentences([head], sentences, rooms[kvHead]))
    return { kind: 'runs', runs: runsOfIndices(chosen.map((rows, kvHead) => merge(always[kvHead], rows))) }
  }
}

/** The rows that a KV head may read, with the attention of its queries, summed over them. */
function weighRows({ kv, layer, numTokens, weights }: StepView, kvHead: number): WeighedRows {
  const rows = indicesOutside(droppedSpans(kv, layer as number, kvHead), 0, numTokens)
  const ofQueries = weights!(kvHead, rows)
  const mass = new Float64Array(rows.length)
  for (let at = 0; at < ofQueries.length; at++) mass[at % rows.length] += ofQueries[at]
  return { rows, mass }
}

function merge(one: Int32Array, other: Int32Array): Int32Array {
  return Int32Array.of(...one, ...other).sort()
}
