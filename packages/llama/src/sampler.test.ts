import { OptionError } from '@kvasir/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { argmax, createSampler, LogitsError, type SamplerOptions } from './sampler.ts'

/** Probability of each token after the filters, by sorting everything: temperature, top-k, top-p, min-p. */
function referenceProbabilities(logits: Float32Array, options: SamplerOptions): Map<number, number> {
  const { temperature = 1, topK = 0, topP = 1, minP = 0 } = options
  const weights = Array.from(logits, (logit) => Math.exp(logit / temperature))
  const ranked = [...weights.keys()].sort((a, b) => weights[b] - weights[a] || a - b)
  const top = topK === 0 ? ranked : ranked.slice(0, topK)
  const topMass = top.reduce((sum, id) => sum + weights[id], 0)
  let before = 0
  const nucleus = top.filter((id) => {
    const keep = before < topP * topMass
    before += weights[id]
    return keep
  })
  const kept = nucleus.filter((id) => weights[id] >= minP * weights[ranked[0]])
  const mass = kept.reduce((sum, id) => sum + weights[id], 0)
  return new Map(kept.map((id) => [id, weights[id] / mass]))
}

const LOGITS = Float32Array.of(1, 3, 2.5, 3, -1, 0.5, 2, Number.NEGATIVE_INFINITY)

describe('greedy sampling', () => {
  it('is the default, takes the largest logit, of equals the lowest id', () => {
    const sampler = createSampler()
    expect(sampler.options.temperature).toBe(0)
    expect(sampler.sample(LOGITS)).toBe(1)
    expect(argmax(Float32Array.of(-5, -3, -3))).toBe(1)
  })
})

describe('sampling', () => {
  it.each<SamplerOptions>([
    { temperature: 1 },
    { temperature: 0.5 },
    { temperature: 2, topK: 3 },
    { temperature: 1, topP: 0.8 },
    { temperature: 1, minP: 0.3 },
    { temperature: 1.5, topK: 5, topP: 0.9, minP: 0.1 },
    { temperature: 1, topK: 1 },
    { temperature: 1, topK: 100 },
  ])('draws with the probabilities of the plain definition: %j', (options) => {
    const sampler = createSampler({ ...options, seed: 7 })
    const expected = referenceProbabilities(LOGITS, options)
    const draws = 20_000
    const counts = new Map<number, number>()
    for (let i = 0; i < draws; i++) {
      const id = sampler.sample(LOGITS)
      counts.set(id, (counts.get(id) ?? 0) + 1)
    }
    for (const id of counts.keys()) expect(expected.has(id)).toBe(true)
    for (const [id, p] of expected) {
      // 5 standard deviations of a binomial count.
      expect(Math.abs((counts.get(id) ?? 0) - draws * p)).toBeLessThanOrEqual(5 * Math.sqrt(draws * p * (1 - p)) + 1e-9)
    }
  })

  it('only ever draws tokens that the plain definition keeps', () => {
    const logits = fc.array(fc.integer({ min: -8, max: 8 }), { minLength: 1, maxLength: 60 })
    const options = fc.record({
      temperature: fc.constantFrom(0.3, 1, 3),
      topK: fc.nat(10),
      topP: fc.constantFrom(0.1, 0.5, 0.9, 1),
      minP: fc.constantFrom(0, 0.01, 0.5),
      seed: fc.nat(),
    })
    fc.assert(
      fc.property(logits, options, (values, chosen) => {
        const array = Float32Array.from(values)
        const kept = referenceProbabilities(array, chosen)
        const sampler = createSampler(chosen)
        for (let i = 0; i < 10; i++) expect(kept.has(sampler.sample(array))).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })

  it('draws the same tokens for the same seed, and says which seed it took', () => {
    const draw = (seed: number) => {
      const sampler = createSampler({ temperature: 1, seed })
      return Array.from({ length: 50 }, () => sampler.sample(LOGITS))
    }
    expect(draw(3)).toEqual(draw(3))
    expect(draw(3)).not.toEqual(draw(4))
    const { seed } = createSampler({ temperature: 1 }).options
    expect(draw(seed)).toEqual(draw(seed))
  })

  it('leaves the logits as they were', () => {
    const logits = LOGITS.slice()
    createSampler({ temperature: 0.7, topK: 2, seed: 1 }).sample(logits)
    expect(logits).toEqual(LOGITS)
  })

  it('never draws a token of logit minus infinity, however hot', () => {
    const logits = new Float32Array(100).fill(Number.NEGATIVE_INFINITY)
    logits[42] = -1e30
    const sampler = createSampler({ temperature: 1000, seed: 1 })
    for (let i = 0; i < 100; i++) expect(sampler.sample(logits)).toBe(42)
  })
})

describe('misuse', () => {
  it.each([
    { temperature: -1 },
    { temperature: Number.NaN },
    { topK: 1.5 },
    { topK: -1 },
    { topP: 0 },
    { topP: 1.1 },
    { minP: 2 },
    { seed: -1 },
    { seed: 2 ** 53 },
    { temperature: '1' as unknown as number },
  ])('refuses %j', (options) => {
    expect(() => createSampler(options)).toThrow(OptionError)
  })

  it('refuses unknown options with the right spelling', () => {
    expect(() => createSampler({ top_k: 4 } as object)).toThrow('topK')
  })

  it.each<[string, number[]]>([
    ['NaN', [0, Number.NaN]],
    ['plus infinity', [0, Number.POSITIVE_INFINITY]],
    ['nothing but minus infinity', [Number.NEGATIVE_INFINITY]],
    ['no logits', []],
  ])('refuses %s, greedy or not', (_, values) => {
    for (const temperature of [0, 1]) {
      expect(() => createSampler({ temperature }).sample(Float32Array.from(values))).toThrow(LogitsError)
    }
  })
})
