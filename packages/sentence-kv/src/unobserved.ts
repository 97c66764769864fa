import { CapabilityError } from '@kvasir/core'

/** What is wrong where a prompt ends without the attention that the policy's effects ask for. */
export function unobserved(): CapabilityError {
  return new CapabilityError({
    parameter: 'PrefillView.attention',
    expected: "attention of the prompt's last rows",
    got: undefined,
    remedy: 'Open the sequence with this policy before its prompt is read, or let the engine observe that prompt.',
  })
}
