export type Fidelity = 'strict' | 'balanced' | 'fast'

/** What a fidelity sets; each can be set by itself as well. */
export interface Dials {
  /** Shorter common runs are computed. */
  readonly minRunTokens: number
  /** Tokens before a run that are compared with those before it in its donor. */
  readonly contextTokens: number
  /**
   * First tokens of a borrowed run that are computed: this share of its length times the square of the share of its context
   * that changed, ...
   */
  readonly startShare: number
  /** ... at most so many, ... */
  readonly startMaxTokens: number
  /** ... and at least so many: a run no longer than that is not borrowed, ... */
  readonly startMinTokens: number
  /** ... or, where that is more, this share of the prompt over the number of runs, up to 16 tokens. */
  readonly editShare: number
  /** Last tokens of the prompt that are computed, unless they belong to its exact prefix. */
  readonly tailTokens: number
  /** Tokens that carry facts are computed within so many tokens of the start of a borrowed run; 'all': in all of it. */
  readonly factReachTokens: number | 'all'
  /**
   * Share of the borrowed rows that is computed in the layers after the probe layers: where starts and facts leave some of
   * it, the rows whose KV deviates most after those layers, which are then computed in full.
   */
  readonly deviationShare: number
  /** Borrowed rows of which the first layers are computed only to see how far they deviate; spread over all runs. */
  readonly probeRows: number
  /** Mean deviation of borrowed rows after the probe layers above which twice as many of them are computed. */
  readonly raiseDeviation: number
  /** The same, above which nothing is borrowed. */
  readonly maxDeviation: number
  /** Share of the prompt behind its exact prefix that must be borrowed. */
  readonly minCoverage: number
  /** Places where tokens that carry facts stand in place of the donor's, at most; 'any': they are not counted. */
  readonly maxConflicts: number | 'any'
}

/**
 * Deviations are those of SmolLM2-135M after 3 layers: 0.03 to 0.05 for a moved document, 0.05 to 0.08 for another wording
 * of it, 0.19 for what little an unrelated one has in common.
 */
export const fidelities: Readonly<Record<Fidelity, Dials>> = {
  strict: {
    minRunTokens: 8,
    contextTokens: 256,
    startShare: 0.6,
    startMaxTokens: 512,
    startMinTokens: 4,
    editShare: 0.05,
    tailTokens: 48,
    factReachTokens: 'all',
    deviationShare: 0,
    probeRows: 32,
    raiseDeviation: 0.06,
    maxDeviation: 0.12,
    minCoverage: 0.4,
    maxConflicts: 8,
  },
  balanced: {
    minRunTokens: 6,
    contextTokens: 256,
    startShare: 0.25,
    startMaxTokens: 216,
    startMinTokens: 2,
    editShare: 0.02,
    tailTokens: 32,
    factReachTokens: 4,
    deviationShare: 0,
    probeRows: 16,
    raiseDeviation: 0.09,
    maxDeviation: 0.16,
    minCoverage: 0.2,
    maxConflicts: 'any',
  },
  fast: {
    minRunTokens: 5,
    contextTokens: 256,
    startShare: 0.15,
    startMaxTokens: 88,
    startMinTokens: 1,
    editShare: 0.01,
    tailTokens: 24,
    factReachTokens: 2,
    deviationShare: 0,
    probeRows: 16,
    raiseDeviation: 0.12,
    maxDeviation: 0.18,
    minCoverage: 0.2,
    maxConflicts: 'any',
  },
}
