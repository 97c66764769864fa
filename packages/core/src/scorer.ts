import { bestIndices } from './best-indices.ts'
import { droppedSpans } from './dropped-spans.ts'
import type { SequenceContext } from './engine-profile.ts'
import { OptionError, PlanError } from './errors.ts'
import { checkInteger, checkKeys } from './options.ts'
import type { CachePolicy, Effects, PolicyCounts, PolicySession } from './policy.ts'
import { requireCapabilities } from './require-capabilities.ts'
import { countRunTokens, type RunList, runsOfIndices } from './run-list.ts'
import type { Span } from './segment.ts'
import { complementSpans, mergeSpans } from './spans.ts'
import type { StepView } from './views.ts'

export interface ScorerOptions {
  /** Tokens a KV head that attention reads, always-visible ones included. Required. */
  readonly budgetTokens: number
  /** First tokens of the sequence, always visible. @default 4 */
  readonly sinkTokens?: number
  /** Last tokens, always visible, the current one included; at least 1. @default 16 */
  readonly recentTokens?: number
}

/** What a score is computed from: one KV head of one layer at one step. */
export interface ScorerView {
  readonly layer: number
  readonly kvHead: number
  readonly numTokens: number
  /** [numHeads / numKvHeads][headDim], rotated: the queries that read this KV head. */
  readonly queries: Float32Array
  /** [end - start][headDim], rotated. */
  keys(start: number, end: number): Float32Array
}

/**
 * A whole policy from one function: `score` gives a number a token [numTokens], and each KV head reads the best of them
 * within the budget. Throws an OptionError for a budget that sinks and recent tokens fill.
 */
export function scorer(
  name: string,
  options: ScorerOptions,
  score: (view: ScorerView) => ArrayLike<number>,
): CachePolicy {
  const resolved = resolveOptions(name, options)
  return Object.freeze<CachePolicy>({
    name,
    effects: Object.freeze<Effects>({ slots: ['select'], fidelity: 'lossy', selectScope: 'layer' }),
    bind: (engine) => requireCapabilities(name, engine, ['select.runs', 'observe.query', 'observe.keys']),
    open: (sequence) => openScorer(sequence, resolved, score),
  })
}

function resolveOptions(name: string, options: ScorerOptions): Required<ScorerOptions> {
  checkKeys(name, options, ['budgetTokens', 'sinkTokens', 'recentTokens'])
  const sinkTokens = checkInteger(`${name}.sinkTokens`, options.sinkTokens ?? 4, 0)
  const recentTokens = checkInteger(`${name}.recentTokens`, options.recentTokens ?? 16, 1)
  const budgetTokens = checkInteger(`${name}.budgetTokens`, options.budgetTokens, 1)
  if (budgetTokens > sinkTokens + recentTokens) return { budgetTokens, sinkTokens, recentTokens }
  throw new OptionError({
    parameter: `${name}.budgetTokens`,
    expected: `more than sinkTokens + recentTokens = ${sinkTokens + recentTokens}`,
    got: budgetTokens,
    remedy: 'Raise budgetTokens, or lower the always-visible tokens.',
  })
}

function openScorer(
  sequence: SequenceContext,
  options: Required<ScorerOptions>,
  score: (view: ScorerView) => ArrayLike<number>,
): PolicySession {
  const counts = { steps: 0, attendedTokens: 0, pooledTokens: 0, indexBytes: 0 }
  return {
    select(step) {
      if (step.layer === 0) counts.steps++
      if (step.numTokens <= options.budgetTokens) {
        const { numKvHeads } = sequence.profile.shape.layers[step.layer!]
        for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
          counts.attendedTokens += indicesOf(heldOf(step, kvHead)).length
        }
        return { kind: 'all' }
      }
      const runs = selectBest(sequence, step, options, (view) => {
        const scores = score({
          ...view,
          keys: (start, end) => {
            counts.pooledTokens += end - start
            return view.keys(start, end)
          },
        })
        if (scores?.length === view.numTokens) return scores
        const expected = `${view.numTokens} numbers, one a token`
        throw new PlanError({ parameter: 'scores', expected, got: scores?.length })
      })
      counts.attendedTokens += countRunTokens(runs)
      return { kind: 'runs', runs }
    },
    rewind() {},
    fork: (fork) => openScorer(fork, options, score),
    counts: (): PolicyCounts => ({ ...counts }),
    async [Symbol.asyncDispose]() {},
  }
}

/** A row a KV head: sinks, recent tokens and the best of the rest, of the rows that are held. */
function selectBest(
  { profile }: SequenceContext,
  step: StepView,
  { budgetTokens, sinkTokens, recentTokens }: Required<ScorerOptions>,
  score: (view: ScorerView) => ArrayLike<number>,
): RunList {
  const layer = step.layer!
  const { numHeads, numKvHeads, headDim } = profile.shape.layers[layer]
  const { numTokens } = step
  const recentStart = numTokens - recentTokens
  const ends = [
    { start: 0, end: sinkTokens },
    { start: recentStart, end: numTokens },
  ]
  const group = (numHeads / numKvHeads) * headDim
  return runsOfIndices(
    Array.from({ length: numKvHeads }, (_, kvHead) => {
      const queries = step.queries!.subarray(kvHead * group, (kvHead + 1) * group)
      const keys = (start: number, end: number) => step.kv.keys(layer, kvHead, start, end)
      const scores = score({ layer, kvHead, numTokens, queries, keys })
      const always = indicesOf(heldOf(step, kvHead, [{ start: sinkTokens, end: recentStart }]))
      const candidates = indicesOf(heldOf(step, kvHead, ends))
      const ofCandidates = Float64Array.from(candidates, (index) => scores[index])
      if (ofCandidates.some(Number.isNaN))
        throw new PlanError({ parameter: 'scores', expected: 'numbers', got: Number.NaN })
      const best = bestIndices(candidates, ofCandidates, budgetTokens - always.length)
      return Int32Array.of(...always, ...best).sort()
    }),
  )
}

/** What attention of a KV head may read at a step, outside of some spans. */
function heldOf({ kv, layer, numTokens }: StepView, kvHead: number, outside: readonly Span[] = []): Span[] {
  return complementSpans(mergeSpans(droppedSpans(kv, layer!, kvHead), outside), numTokens)
}

function indicesOf(spans: readonly Span[]): Int32Array {
  const indices = new Int32Array(spans.reduce((sum, { start, end }) => sum + end - start, 0))
  let at = 0
  for (const { start, end } of spans) for (let index = start; index < end; index++) indices[at++] = index
  return indices
}
