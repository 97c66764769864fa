/** What stored KV lost on its way, if anything. */
export type Loss = 'quantised' | 'pruned' | 'merged' | 'moved' | 'borrowed' | 'recomputed-over-loss'

export type Provenance =
  | { readonly kind: 'exact' }
  | { readonly kind: 'approximate'; readonly losses: readonly [Loss, ...Loss[]] }
