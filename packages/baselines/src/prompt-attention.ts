import { PlanError, type PrefillView, type PromptAttention } from '@kvasir/core'

/** What the prompt's rows paid; throws a PlanError where an engine leaves out what the policy's effects ask for. */
export function attentionOf({ attention }: PrefillView): PromptAttention {
  if (attention) return attention
  throw new PlanError({ parameter: 'view.attention', expected: 'the attention of the prompt', got: attention })
}
