import { checkInteger, checkKeys, checkNumber, OptionError, ShapeError } from '@kvasir/core'
import type { KernelSegmentIndex } from './kernel-segment-index.ts'
import type { KvArena } from './kernels.ts'
import { Resource, type ResourceOwner } from './resource.ts'
import type { BudgetOptions, SegmentSelectorOptions } from './selection.ts'
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
  if (typeof jointHeads !== 'boolean') {
    throw new OptionError({ parameter: 'jointHeads', expected: 'true or false', got: jointHeads })
  }
  return {
    budgetTokens: checkInteger('budgetTokens', budgetTokens, 1, 2 ** 30),
    sinkTokens: checkInteger('sinkTokens', sinkTokens, 0, 2 ** 30),
    recentTokens: checkInteger('recentTokens', recentTokens, 0, 2 ** 30),
    jointHeads,
  }
}

const budgetNames = ['budgetTokens', 'sinkTokens', 'recentTokens', 'jointHeads']

export function resolveExactOptions(options: BudgetOptions): Required<BudgetOptions> {
  checkKeys('createExactSelector', options, budgetNames)
  return resolveBudget(options)
}

export function resolveSegmentOptions(
  options: SegmentSelectorOptions,
): Required<BudgetOptions> & { readonly poolFactor: number } {
  checkKeys('createSegmentSelector', options, ['index', 'poolFactor', ...budgetNames])
  const poolFactor = checkNumber('poolFactor', options.poolFactor ?? 2, 0, 1e6)
  return { ...resolveBudget(options), poolFactor }
}
