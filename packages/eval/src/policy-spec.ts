import { fullCache } from '@kvasir/baselines/full'
import { oracleTokens } from '@kvasir/baselines/oracle'
import { randomSentences } from '@kvasir/baselines/random'
import { sinkWindow } from '@kvasir/baselines/window'
import { type CachePolicy, OptionError } from '@kvasir/core'
import { sentenceKv } from '@kvasir/sentence-kv'

/** `name[:key=value[,key=value...]]` as written on a command line. */
export interface PolicySpec {
  readonly text: string
  readonly name: PolicyName
  readonly options: Readonly<Record<string, string | number | boolean>>
}

type Options = PolicySpec['options']

/** Every policy that can be named, and the keys that it takes. `budget` stands for budgetTokens in all. */
const policies = {
  full: { keys: [], make: () => fullCache() },
  window: { keys: ['sinkTokens'], make: (options: Options) => sinkWindow(options as never) },
  random: {
    keys: ['sinkTokens', 'recentTokens', 'seed'],
    make: (options: Options) => randomSentences(options as never),
  },
  oracle: { keys: ['jointHeads'], make: (options: Options) => oracleTokens(options as never) },
  'sentence-kv': {
    keys: [
      'mode',
      'sinkTokens',
      'recentTokens',
      'poolFactor',
      'codeBits',
      'jointHeads',
      'minSegmentTokens',
      'maxSegmentTokens',
    ],
    make: (options: Options) => sentenceKv(options as never),
  },
} as const

export type PolicyName = keyof typeof policies

export const policyNames = Object.keys(policies) as PolicyName[]

/** Reads a SPEC; throws OptionError that names what is allowed. */
export function parsePolicySpec(text: string): PolicySpec {
  const [name = '', rest] = text.split(/:(.*)/s)
  if (!Object.hasOwn(policies, name)) {
    throw new OptionError({ parameter: 'policy', expected: `one of ${policyNames.join(', ')}`, got: name })
  }
  const allowed = ['budget', ...policies[name as PolicyName].keys]
  const options: Record<string, string | number | boolean> = {}
  for (const pair of rest ? rest.split(',') : []) {
    const [key = '', value] = pair.split(/=(.*)/s)
    if (!allowed.includes(key) || value === undefined || value === '') {
      throw new OptionError({
        parameter: `policy ${name}`,
        expected: `key=value with a key out of ${allowed.join(', ')}`,
        got: pair,
      })
    }
    options[key === 'budget' ? 'budgetTokens' : key] = readValue(value)
  }
  return { text, name: name as PolicyName, options }
}

/** The policy of a spec; `budgetTokens` where the spec names none. `full` has no budget. */
export function makePolicy(spec: PolicySpec, budgetTokens?: number): CachePolicy {
  const budget = spec.name === 'full' || budgetTokens === undefined ? {} : { budgetTokens }
  return policies[spec.name].make({ ...budget, ...spec.options })
}

/** Budgets to run a spec with: its own, none for `full`, else each of `budgets`. */
export function budgetsOf(spec: PolicySpec, budgets: readonly number[]): readonly (number | null)[] {
  if (spec.name === 'full') return [null]
  const own = spec.options.budgetTokens
  return typeof own === 'number' ? [own] : budgets
}

function readValue(text: string): string | number | boolean {
  if (text === 'true' || text === 'false') return text === 'true'
  const number = Number(text)
  return Number.isNaN(number) ? text : number
}
