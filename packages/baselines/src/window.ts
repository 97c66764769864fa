import {
  type CachePolicy,
  checkFlag,
  checkInteger,
  checkKeys,
  countReadTokens,
  type Effects,
  type PolicySession,
  requireCapabilities,
  runsOfSpans,
  type SequenceContext,
  type Span,
} from '@kvasir/core'
import { checkBudget } from './budget.ts'

export interface SinkWindowOptions {
  /** Tokens that attention reads at a step. Required. */
  readonly budgetTokens: number
  /** First tokens of the sequence, always read. @default 4 */
  readonly sinkTokens?: number
  /** Number the kept tokens anew, as published: the sinks stand right before the window. @default false */
  readonly renumber?: boolean
}

type Resolved = Required<SinkWindowOptions>

/**
 * StreamingLLM (Xiao et al. 2023, arXiv 2309.17453): holds and attends attention sinks and the most recent tokens; at
 * their true positions, or with `renumber` at those inside the cache.
 */
export function sinkWindow(options: SinkWindowOptions): CachePolicy {
  const resolved = resolveOptions(options)
  const needed = resolved.renumber ? ['select.runs', 'select.moved'] : ['select.runs']
  return Object.freeze<CachePolicy>({
    name: 'window',
    effects: Object.freeze<Effects>({ slots: ['select'], fidelity: 'lossy', selectScope: 'step' }),
    bind: (engine) => requireCapabilities('window', engine, needed),
    open: (sequence) => openSession(sequence, resolved),
  })
}

function resolveOptions(options: SinkWindowOptions): Resolved {
  checkKeys('SinkWindowOptions', options, ['budgetTokens', 'sinkTokens', 'renumber'])
  const sinkTokens = checkInteger('sinkTokens', options.sinkTokens ?? 4, 0)
  const renumber = checkFlag('renumber', options.renumber ?? false)
  return { budgetTokens: checkBudget(options.budgetTokens, sinkTokens), sinkTokens, renumber }
}

function openSession({ profile }: SequenceContext, options: Resolved, standing = 0): PolicySession {
  const { layers } = profile.shape
  const counts = { steps: 0, attendedTokens: 0, pooledTokens: 0, indexBytes: 0 }
  const headsInAll = layers.reduce((sum, { numKvHeads }) => sum + numKvHeads, 0)
  let numTokens = standing
  return {
    select(step) {
      numTokens = step.numTokens
      const runs = runsOfSpans(spansAt(numTokens, options), layers[0].numKvHeads)
      counts.steps++
      for (const layer of layers.keys()) counts.attendedTokens += countReadTokens(step.kv, layer, runs)
      const by = numTokens - options.budgetTokens
      if (!options.renumber || options.sinkTokens === 0 || by <= 0) return { kind: 'runs', runs }
      // The window's distances are what they are inside the cache; only the sinks come nearer.
      return { kind: 'runs', runs, moved: [{ start: 0, end: options.sinkTokens, by }] }
    },
    rewind(length) {
      numTokens = Math.min(numTokens, length)
    },
    fork: (fork) => openSession(fork, options, numTokens),
    counts: () => ({ ...counts, heldTokens: Math.min(numTokens, options.budgetTokens) * headsInAll }),
    async [Symbol.asyncDispose]() {},
  }
}

function spansAt(numTokens: number, { budgetTokens, sinkTokens }: Resolved): Span[] {
  if (numTokens <= budgetTokens) return [{ start: 0, end: numTokens }]
  const window = { start: numTokens - (budgetTokens - sinkTokens), end: numTokens }
  return sinkTokens === 0 ? [window] : [{ start: 0, end: sinkTokens }, window]
}
