import type { CachePolicy } from '@kvasir/core'
import { type Arm, makePolicy, parsePolicySpec, planArms } from '@kvasir/eval'

/** Tokens a KV head where a SPEC names no budget. */
export const defaultBudget = 256

/** Policy of `--policy SPEC`; checks it before the model is loaded. Without a SPEC the full cache. */
export function readPolicy(text: string = 'full'): { readonly arm: Arm; readonly policy: CachePolicy } {
  const [arm] = planArms([parsePolicySpec(text)], [defaultBudget])
  return { arm, policy: makePolicy(arm) }
}
