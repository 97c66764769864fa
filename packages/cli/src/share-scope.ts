import type { Scope } from '@kvasir/core'
import type { LlamaModel } from '@kvasir/llama'

/** Group of those who name none: one for each user of this system. */
export const defaultGroup = `user-${process.getuid?.() ?? 'local'}`

/** Who may share KV: runs of one policy over one model that name the same group. The model must have donors. */
export function shareScope({ profile }: LlamaModel, policy: { readonly name: string }, group = defaultGroup): Scope {
  const { model, type } = profile.format!
  return { tenant: 'kvasir-cli', group, model, layout: type, policy: policy.name }
}
