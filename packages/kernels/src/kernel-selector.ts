import { checkFlag, checkInteger, checkKeys, checkNumber, checkOneOf, OptionError, ShapeError } from '@kvasir/core'
import { KernelError } from './errors.ts'
import type { KernelSegmentIndex } from './kernel-segment-index.ts'
import type { KvArena } from './kernels.ts'
import { Resource, type ResourceOwner } from './resource.ts'
import type { BudgetOptions, EstimateOptions, SegmentSelectorOptions } from './selection.ts'
import type { CountingSelector, SelectorCounts } from './selector-counts.ts'

/** A native selector of one sequence as its backend keeps it. */
export abstract class KernelSelector extends Resource implements CountingSelector {
  abstract readonly kind: string
  readonly index: KernelSegmentIndex | undefined

  constructor(owner: ResourceOwner, index?: KernelSegmentIndex) {
    super(owner)
    this.index = index
  }

  abstract counts(): SelectorCounts

  override assertAlive(parameter: string): void {
    super.assertAlive(parameter)
    this.index?.assertAlive(`${parameter}.index`)
  }

  override hold(): void {
    super.hold()
    this.index?.hold()
  }

  override letGo(): void {
    super.letGo()
    this.index?.letGo()
  }

  /** Throws while a run uses it: what it keeps between steps is being written. */
  assertQuiet(): void {
    this.assertAlive('continues')
    if (!this.inUse) return
    throw new KernelError({
      parameter: 'continues',
      expected: 'a selector that no run uses',
      got: 'a selector in use',
      remedy: 'Await the promise of run() first.',
    })
  }

  /** Throws unless it can choose among numTokens rows of the arena. */
  checkFits(parameter: string, arena: KvArena, numTokens: number): void {
    if (arena.headDim > 512) {
      throw new ShapeError({ parameter, expected: 'an arena of headDim <= 512', got: arena.headDim })
    }
    this.index?.checkShape(parameter, arena)
    if (this.index === undefined || this.index.numTokens <= numTokens) return
    throw new ShapeError({
      parameter: `${parameter}.index`,
      expected: `at most the ${numTokens} tokens of the sequence`,
      got: this.index.numTokens,
      remedy: 'Truncate the index when the sequence is cut.',
    })
  }
}

/** Budget options, complete. */
function resolveBudget(options: BudgetOptions): Required<BudgetOptions> {
  const { budgetTokens, sinkTokens = 4, recentTokens = 16, jointHeads = true } = options
  return {
    budgetTokens: checkInteger('budgetTokens', budgetTokens, 1, 2 ** 30),
    sinkTokens: checkInteger('sinkTokens', sinkTokens, 0, 2 ** 30),
    recentTokens: checkInteger('recentTokens', recentTokens, 0, 2 ** 30),
    jointHeads: checkFlag('jointHeads', jointHeads),
  }
}

const budgetNames = ['budgetTokens', 'sinkTokens', 'recentTokens', 'jointHeads']

export function resolveExactOptions(options: BudgetOptions): Required<BudgetOptions> {
  checkKeys('createExactSelector', options, budgetNames)
  return resolveBudget(options)
}

export const queryKinds = ['current', 'mean', 'ema'] as const
export const certifyKinds = ['off', 'report', 'extend'] as const

/** Names of the options of a choice by estimates. */
export const estimateNames = [
  'poolFactor',
  'prefilterFactor',
  'query',
  'emaDecay',
  'rerankSteps',
  'driftLimit',
  'certify',
] as const satisfies (keyof EstimateOptions)[]

export type EstimateRule = { readonly [K in keyof EstimateOptions]-?: Exclude<EstimateOptions[K], undefined> }

/** Options of a choice by estimates, complete. Throws OptionError for those that do not go together. */
export function resolveEstimates(options: EstimateOptions): EstimateRule {
  const rule: EstimateRule = {
    poolFactor: checkNumber('poolFactor', options.poolFactor ?? 2, 0, 1e6),
    prefilterFactor: checkNumber('prefilterFactor', options.prefilterFactor ?? 0, 0, 1e6),
    query: checkOneOf('query', options.query ?? 'current', queryKinds),
    emaDecay: checkNumber('emaDecay', options.emaDecay ?? 0.5, 0, 1),
    rerankSteps: checkInteger('rerankSteps', options.rerankSteps ?? 1, 1, 2 ** 20),
    driftLimit: checkNumber('driftLimit', options.driftLimit ?? 0.8, -1, 1),
    certify: checkOneOf('certify', options.certify ?? 'off', certifyKinds),
  }
  if (rule.prefilterFactor > 0 && rule.prefilterFactor < Math.max(1, rule.poolFactor)) {
    throw new OptionError({
      parameter: 'prefilterFactor',
      expected: '0, or at least 1 and the poolFactor',
      got: rule.prefilterFactor,
      remedy: 'Raise prefilterFactor: the pool is taken from the tokens that it leaves.',
    })
  }
  if (rule.certify !== 'off' && (rule.prefilterFactor > 0 || rule.query !== 'current' || rule.poolFactor === 0)) {
    throw new OptionError({
      parameter: 'certify',
      expected: "'off' with a prefilter, a running query or without a pool",
      got: rule.certify,
      remedy: 'Bounds hold for the current query on segments that are scanned, about a pool that is read.',
    })
  }
  return rule
}

export function resolveSegmentOptions(options: SegmentSelectorOptions): Required<BudgetOptions> & EstimateRule {
  checkKeys('createSegmentSelector', options, ['index', 'continues', ...estimateNames, ...budgetNames])
  const rule = { ...resolveBudget(options), ...resolveEstimates(options) }
  if (rule.prefilterFactor > 0 && options.index?.basis === 'principal') {
    throw new OptionError({
      parameter: 'prefilterFactor',
      expected: '0 for an index of principal channels, which has no deviations',
      got: rule.prefilterFactor,
      remedy: "Create the index with basis: 'channels'.",
    })
  }
  return rule
}
