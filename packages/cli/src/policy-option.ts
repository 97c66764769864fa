import { type Arm, parsePolicySpec, planArms } from '@kvasir/eval'

/** Tokens a KV head where a SPEC names no budget. */
export const defaultBudget = 256

/** What `--policy SPEC` asks for; checks it before the model is loaded. Without a SPEC the full cache. */
export function readArm(text: string = 'full'): Arm {
  const [arm] = planArms([parsePolicySpec(text)], [defaultBudget])
  return arm
}
