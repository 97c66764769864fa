/** What stored KV lost on its way, if anything. */
export type Loss = 'quantised' | 'pruned' | 'merged' | 'moved' | 'borrowed' | 'recomputed-over-loss'

export type Provenance =
  | { readonly kind: 'exact' }
  /** In the order in which they happened, each once. */
  | { readonly kind: 'approximate'; readonly losses: readonly [Loss, ...Loss[]] }

/** KV as a full computation leaves it. */
export const exact: Provenance = Object.freeze({ kind: 'exact' })

/** `provenance` after one more loss. Losses only grow: nothing makes approximate KV exact again. */
export function withLoss(provenance: Provenance, loss: Loss): Provenance {
  if (provenance.kind === 'exact') return { kind: 'approximate', losses: [loss] }
  if (provenance.losses.includes(loss)) return provenance
  return { kind: 'approximate', losses: [...provenance.losses, loss] }
}

export function isExact(provenance: Provenance): boolean {
  return provenance.kind === 'exact'
}
