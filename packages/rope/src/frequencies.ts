import type { RopeScaling, RopeSpec } from '@kvasir/core'

/**
 * Angle of each pair at position 1, radians, float64 [rotaryDim / 2]: theta^(-2i / rotaryDim) (Su et al. 2021), stretched
 * by the scaling. `seqLenTokens` matters for dynamic NTK and LongRoPE only: the length whose regime is wanted.
 */
export function inverseFrequencies(spec: RopeSpec, seqLenTokens = 0): Float64Array {
  const pairs = spec.rotaryDim / 2
  const base = Float64Array.from({ length: pairs }, (_, i) => spec.theta ** (-i / pairs))
  const { scaling } = spec
  switch (scaling.kind) {
    case 'none':
      return base
    case 'linear':
      return base.map((frequency) => frequency / scaling.factor)
    case 'divisors':
      return base.map((frequency, i) => frequency / scaling.divisors[i])
    case 'llama3':
      return base.map((frequency) => stretchLlama3(frequency, scaling))
    case 'yarn':
      return stretchYarn(base, spec, scaling)
    case 'dynamic-ntk':
      return stretchDynamicNtk(base, spec, scaling, seqLenTokens)
    case 'longrope': {
      const long = seqLenTokens > scaling.originalContextTokens
      return base.map((frequency, i) => frequency / (long ? scaling.longFactors : scaling.shortFactors)[i])
    }
  }
}

/** What cos and sin are multiplied by; 1 but for YaRN and LongRoPE. */
export function attentionFactor({ scaling }: RopeSpec): number {
  return scaling.kind === 'yarn' || scaling.kind === 'longrope' ? scaling.attentionFactor : 1
}

/** Llama 3.1: long wavelengths by the factor, short ones not at all, a linear blend between. */
function stretchLlama3(frequency: number, scaling: Extract<RopeScaling, { kind: 'llama3' }>): number {
  const turns = (scaling.originalContextTokens * frequency) / (2 * Math.PI)
  const { lowFrequencyFactor: low, highFrequencyFactor: high } = scaling
  const keep = Math.min(1, Math.max(0, (turns - low) / (high - low)))
  return frequency * (keep + (1 - keep) / scaling.factor)
}

/** YaRN, "NTK by parts" (Peng et al. 2023, arXiv 2309.00071): a ramp over the pairs between two numbers of turns. */
function stretchYarn(base: Float64Array, spec: RopeSpec, scaling: Extract<RopeScaling, { kind: 'yarn' }>): Float64Array {
  const pairOfTurns = (turns: number) =>
    (spec.rotaryDim * Math.log(scaling.originalContextTokens / (turns * 2 * Math.PI))) / (2 * Math.log(spec.theta))
  const low = Math.max(0, Math.floor(pairOfTurns(scaling.betaFast)))
  const high = Math.min(spec.rotaryDim - 1, Math.ceil(pairOfTurns(scaling.betaSlow)))
  return base.map((frequency, i) => {
    const ramp = Math.min(1, Math.max(0, (i - low) / Math.max(high - low, 0.001)))
    return frequency * (1 - ramp + ramp / scaling.factor)
  })
}

/** Dynamic NTK: a larger theta once the sequence is longer than the training context. */
function stretchDynamicNtk(
  base: Float64Array,
  spec: RopeSpec,
  scaling: Extract<RopeScaling, { kind: 'dynamic-ntk' }>,
  seqLenTokens: number,
): Float64Array {
  const { factor, originalContextTokens } = scaling
  if (seqLenTokens <= originalContextTokens) return base
  const growth = (factor * seqLenTokens) / originalContextTokens - (factor - 1)
  const theta = spec.theta * growth ** (spec.rotaryDim / (spec.rotaryDim - 2))
  return Float64Array.from(base, (_, i) => theta ** (-i / (spec.rotaryDim / 2)))
}
