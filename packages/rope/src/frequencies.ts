import { type RopeScaling, type RopeSpec, validateRopeSpec } from '@kvasir/core'

type Scaling<Kind extends RopeScaling['kind']> = Extract<RopeScaling, { kind: Kind }>

/**
 * Radians that each pair turns a position, float64 [rotaryDim / 2]: theta^(-2i / rotaryDim) (Su et al. 2021), stretched by
 * the spec's scaling. `numTokens` is the length of the sequence and matters to dynamic-ntk and longrope alone: keys of one
 * cache share one value of it. Throws a ShapeError for a spec that is not whole.
 */
export function inverseFrequencies(spec: RopeSpec, numTokens = 0): Float64Array {
  validateRopeSpec(spec)
  const { scaling, rotaryDim } = spec
  const plain = powers(spec.theta, rotaryDim)
  switch (scaling.kind) {
    case 'none':
      return plain
    case 'linear':
      return plain.map((frequency) => frequency / scaling.factor)
    case 'divisors':
      return plain.map((frequency, pair) => frequency / scaling.divisors[pair])
    case 'llama3':
      return plain.map((frequency) => stretchLlama3(frequency, scaling))
    case 'yarn':
      return stretchYarn(plain, spec, scaling)
    case 'dynamic-ntk':
      return powers(dynamicTheta(spec, scaling, numTokens), rotaryDim)
    case 'longrope': {
      const factors = numTokens > scaling.originalContextTokens ? scaling.longFactors : scaling.shortFactors
      return plain.map((frequency, pair) => frequency / factors[pair])
    }
  }
}

/** What cos and sin are multiplied by: the attention factor of YaRN and LongRoPE, 1 for all others. */
export function attentionFactor(spec: RopeSpec): number {
  const { scaling } = spec
  return scaling.kind === 'yarn' || scaling.kind === 'longrope' ? scaling.attentionFactor : 1
}

function powers(theta: number, rotaryDim: number): Float64Array {
  return Float64Array.from({ length: rotaryDim / 2 }, (_, pair) => theta ** ((-2 * pair) / rotaryDim))
}

/** Llama 3.1 (Dubey et al. 2024): long waves stretched, short ones kept, a blend by wavelength between. */
function stretchLlama3(frequency: number, scaling: Scaling<'llama3'>): number {
  const { factor, lowFrequencyFactor, highFrequencyFactor, originalContextTokens } = scaling
  const turns = (originalContextTokens * frequency) / (2 * Math.PI)
  const blend = clamp((turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor))
  return blend * frequency + ((1 - blend) * frequency) / factor
}

/** YaRN (Peng et al. 2023), section 3.2: pairs that turn more than betaFast times in the trained context are kept. */
function stretchYarn(plain: Float64Array, spec: RopeSpec, scaling: Scaling<'yarn'>): Float64Array {
  const { factor, betaFast, betaSlow, originalContextTokens } = scaling
  const last = spec.rotaryDim - 1
  /** The pair, as a real number, that turns `turns` times in the trained context. */
  const pairOf = (turns: number) =>
    (spec.rotaryDim * Math.log(originalContextTokens / (turns * 2 * Math.PI))) / (2 * Math.log(spec.theta))
  const low = Math.max(Math.floor(pairOf(betaFast)), 0)
  const high = Math.min(Math.ceil(pairOf(betaSlow)), last)
  // A ramp of no length would divide by zero.
  const length = high === low ? 0.001 : high - low
  return plain.map((frequency, pair) => {
    const stretched = clamp((pair - low) / length)
    return (1 - stretched) * frequency + (stretched * frequency) / factor
  })
}

/** NTK-aware theta that grows with the sequence, as Hugging Face transformers computes it for rope type `dynamic`. */
function dynamicTheta(spec: RopeSpec, scaling: Scaling<'dynamic-ntk'>, numTokens: number): number {
  const { factor, originalContextTokens } = scaling
  const length = Math.max(numTokens, originalContextTokens)
  const stretch = (factor * length) / originalContextTokens - (factor - 1)
  return spec.theta * stretch ** (spec.rotaryDim / (spec.rotaryDim - 2))
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value))
}
