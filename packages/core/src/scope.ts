/** Who may share KV. Required by every store, index and donor lookup; there is no shared default. */
export interface Scope {
  readonly tenant: string
  readonly group: string
  /** Fingerprint of weights and tokenizer. */
  readonly model: string
  /** Fingerprint of page layout and dtype. */
  readonly layout: string
  /** Name of the policy stack that wrote the KV. */
  readonly policy: string
}
