/** How frequencies are stretched for contexts longer than the model was trained on. Factors are plain numbers > 0. */
export type RopeScaling =
  | { readonly kind: 'none' }
  | { readonly kind: 'linear'; readonly factor: number }
  | {
      readonly kind: 'llama3'
      readonly factor: number
      readonly lowFrequencyFactor: number
      readonly highFrequencyFactor: number
      readonly originalContextTokens: number
    }
  /** Divisors of each pair's frequency as stored in a model file (`rope_freqs.weight`), [rotaryDim / 2]. */
  | { readonly kind: 'divisors'; readonly divisors: readonly number[] }
  | {
      readonly kind: 'yarn'
      readonly factor: number
      readonly originalContextTokens: number
      readonly betaFast: number
      readonly betaSlow: number
      /** Multiplies cos and sin; 0.1 ln(factor) + 1 in the paper (Peng et al. 2023). */
      readonly attentionFactor: number
    }
  | { readonly kind: 'dynamic-ntk'; readonly factor: number; readonly originalContextTokens: number }
  | {
      readonly kind: 'longrope'
      readonly shortFactors: readonly number[]
      readonly longFactors: readonly number[]
      readonly originalContextTokens: number
      readonly attentionFactor: number
    }

/** Rotary position embedding (Su et al. 2021) of one layer. */
export interface RopeSpec {
  /** half: value i turns with i + rotaryDim / 2; interleaved: 2i with 2i + 1. Required: files differ and nothing can tell. */
  readonly pairing: 'half' | 'interleaved'
  /** Values of a head that turn, even, at most headDim. */
  readonly rotaryDim: number
  readonly theta: number
  readonly scaling: RopeScaling
}

/** What the stored keys of one layer went through. */
export type RopeStamp =
  | { readonly rotated: false }
  | {
      readonly rotated: true
      readonly spec: RopeSpec
      /** Position of the first row. */
      readonly origin: number
      /** Length of the sequence whose frequencies the keys got; it matters to dynamic-ntk and longrope. */
      readonly numTokens: number
      /** Moved after they were computed. Such keys are not moved again: each pass rounds once. */
      readonly turned: boolean
    }
