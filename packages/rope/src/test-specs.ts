import type { RopeScaling, RopeSpec } from '@kvasir/core'

/** One scaling of each kind, for a rotaryDim. The values are those of published models where there are such. */
export function scalingsOf(rotaryDim: number): readonly RopeScaling[] {
  const perPair = (value: (pair: number) => number) => Array.from({ length: rotaryDim / 2 }, (_, pair) => value(pair))
  return [
    { kind: 'none' },
    { kind: 'linear', factor: 4 },
    { kind: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextTokens: 8192 },
    { kind: 'divisors', divisors: perPair((pair) => 1 + pair) },
    {
      kind: 'yarn',
      factor: 4,
      originalContextTokens: 32_768,
      betaFast: 32,
      betaSlow: 1,
      attentionFactor: 0.1 * Math.log(4) + 1,
    },
    { kind: 'dynamic-ntk', factor: 2, originalContextTokens: 2048 },
    {
      kind: 'longrope',
      shortFactors: perPair((pair) => 1 + 0.05 * pair),
      longFactors: perPair((pair) => 1 + pair * pair),
      originalContextTokens: 4096,
      attentionFactor: 1.19,
    },
  ]
}

/** Both pairings, whole and partial heads of 64, all scalings. */
export function specsToTest(): readonly RopeSpec[] {
  return (['half', 'interleaved'] as const).flatMap((pairing) =>
    [64, 32, 2].flatMap((rotaryDim) =>
      scalingsOf(rotaryDim).map((scaling) => ({ pairing, rotaryDim, theta: 500_000, scaling })),
    ),
  )
}

export function nameOf({ pairing, rotaryDim, scaling }: RopeSpec): string {
  return `${pairing}, ${rotaryDim} of 64, ${scaling.kind}`
}
