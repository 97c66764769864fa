import { type CachePolicy, checkInteger, checkKeys, type Effects, requireCapabilities } from '@kvasir/core'
import { checkBudget } from './budget.ts'
import { type InfLlmRule, InfLlmSession } from './infllm-session.ts'

export interface InfLlmOptions {
  /** Tokens a KV head that attention reads at a step. Required. */
  readonly budgetTokens: number
  /** Tokens of a block; the paper has 128, for budgets of thousands. @default 16 */
  readonly blockTokens?: number
  /** Tokens that stand for a block. @default 4 */
  readonly representativeTokens?: number
  /** First tokens of the sequence, always read. @default 4 */
  readonly sinkTokens?: number
  /** Last tokens, always read: the local window, which a block leaves before it is indexed. @default 16 */
  readonly recentTokens?: number
}

/**
 * InfLLM (Xiao et al. 2024, arXiv 2402.04617): each block is known by its few tokens that got the most attention; a step
 * reads the blocks whose representatives its queries weigh most, the initial and the local tokens. Holds every row. A sum
 * over representatives ranks as their mean key does, so that is the index. Blocks are chosen a KV head and read at their
 * true positions; the paper chooses a layer, and reads them at one distance.
 */
export function infLlm(options: InfLlmOptions): CachePolicy {
  const rule = resolveOptions(options)
  return Object.freeze<CachePolicy>({
    name: 'infllm',
    effects: Object.freeze<Effects>({
      slots: ['retain', 'append', 'select'],
      fidelity: 'lossy',
      selectScope: 'layer',
      observes: { allRows: true },
    }),
    bind: (engine) => requireCapabilities('infllm', engine, needed),
    open: (sequence) => InfLlmSession.open(sequence, rule),
  })
}

const needed = [
  'select.runs',
  'observe.query',
  'observe.keys',
  'observe.attention-mass',
  'observe.attention-weights',
] as const

function resolveOptions(options: InfLlmOptions): InfLlmRule {
  const keys = ['budgetTokens', 'blockTokens', 'representativeTokens', 'sinkTokens', 'recentTokens']
  checkKeys('InfLlmOptions', options, keys)
  const blockTokens = checkInteger('blockTokens', options.blockTokens ?? 16, 1)
  const sinkTokens = checkInteger('sinkTokens', options.sinkTokens ?? 4, 0)
  const recentTokens = checkInteger('recentTokens', options.recentTokens ?? 16, 1)
  return {
    budgetTokens: checkBudget(options.budgetTokens, sinkTokens + recentTokens + blockTokens),
    blockTokens,
    sinkTokens,
    recentTokens,
    representativeTokens: checkInteger('representativeTokens', options.representativeTokens ?? 4, 1, blockTokens),
  }
}
