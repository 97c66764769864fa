import { type CachePolicy, OptionError } from '@kvasir/core'
import { type PolicyEntry, type PolicyName, type PolicyResources, policies, policyNames } from './policies.ts'

/** A policy as written on a command line: `name[:key=value[,key=value...]]`. */
export interface PolicySpec {
  readonly text: string
  readonly name: PolicyName
  readonly options: Readonly<Record<string, string | number | boolean>>
}

/** One policy at one budget: a row of a comparison. */
export interface Arm {
  readonly spec: PolicySpec
  /** Tokens a KV head; null for the full cache. */
  readonly budget: number | null
}

/**
 * Reads a SPEC. Keys are the policy's options, with or without their unit: `budget` is `budgetTokens`.
 * Throws OptionError that names what is allowed.
 */
export function parsePolicySpec(text: string): PolicySpec {
  const [name, rest] = splitOnce(text, ':')
  if (!isPolicyName(name)) {
    throw new OptionError({ parameter: 'policy', expected: `one of ${policyNames.join(', ')}`, got: name })
  }
  const options: Record<string, string | number | boolean> = {}
  for (const pair of rest === undefined ? [] : rest.split(',')) {
    const [key, value] = splitOnce(pair, '=')
    const option = optionOf(policies[name], key)
    if (option === undefined || !value || Object.hasOwn(options, option)) {
      throw new OptionError({ parameter: `policy ${name}`, expected: describeKeys(policies[name]), got: pair })
    }
    options[option] = readValue(value)
  }
  return { text, name, options }
}

/** The policy of an arm, each time afresh. Throws OptionError for values that the policy refuses. */
export function makePolicy({ spec, budget }: Arm, resources: PolicyResources = {}): CachePolicy {
  const given = budget === null ? {} : { budgetTokens: budget }
  return policies[spec.name].make({ ...given, ...spec.options }, resources)
}

/**
 * The rows of a comparison: each spec at its own budget, else at each of `budgets`; `full` once. Makes every policy once,
 * so that a value that one refuses shows here. A budget of several that a policy refuses is told to `onRefused` and left
 * out. Throws OptionError for a spec that is refused at every budget, or where a row stands twice.
 */
export function planArms(
  specs: readonly PolicySpec[],
  budgets: readonly number[],
  onRefused: (arm: Arm, error: OptionError) => void = (_, error) => {
    throw error
  },
): readonly Arm[] {
  const seen = new Set<string>()
  return specs.flatMap((spec) => {
    const planned = budgetsOf(spec, budgets).map((budget): Arm => ({ spec, budget }))
    const refusals = planned.map(refusalOf)
    const arms = planned.filter((_, at) => refusals[at] === null)
    refusals.forEach((error, at) => {
      if (error === null) return
      if (arms.length === 0) throw error
      onRefused(planned[at], error)
    })
    for (const { budget } of arms) {
      const row = `${spec.text} at budget ${budget}`
      if (seen.has(row))
        throw new OptionError({ parameter: 'policy', expected: 'each policy and budget once', got: row })
      seen.add(row)
    }
    return arms
  })
}

function refusalOf(arm: Arm): OptionError | null {
  try {
    makePolicy(arm)
    return null
  } catch (error) {
    if (error instanceof OptionError) return error
    throw error
  }
}

function budgetsOf({ name, options }: PolicySpec, budgets: readonly number[]): readonly (number | null)[] {
  if (!(policies[name] as PolicyEntry).keys.includes('budgetTokens')) return [null]
  return typeof options.budgetTokens === 'number' ? [options.budgetTokens] : budgets
}

function isPolicyName(name: string): name is PolicyName {
  return Object.hasOwn(policies, name)
}

function optionOf({ keys }: PolicyEntry, key: string): string | undefined {
  return keys.find((option) => option === key || option === `${key}Tokens`)
}

function describeKeys({ keys }: PolicyEntry): string {
  if (keys.length === 0) return 'no keys'
  return `key=value, each key once, out of ${keys.map((key) => key.replace(/Tokens$/, '')).join(', ')}`
}

/** Booleans and numbers by their looks; the policy checks types and ranges. */
function readValue(text: string): string | number | boolean {
  if (text === 'true' || text === 'false') return text === 'true'
  const number = Number(text)
  return Number.isNaN(number) ? text : number
}

function splitOnce(text: string, mark: string): [string, string | undefined] {
  const at = text.indexOf(mark)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}
