// The contract of the baselines on the reference engine: a tiny model of random weights.
import { policySuite, seededRandom } from '@kvasir/core/testing'
import { describe, test } from 'vitest'
import { makePolicy, parsePolicySpec, planArms } from './policy-spec.ts'
import { loadTestEngine } from './testing/test-engine.ts'

const { underTest: engine } = await loadTestEngine()
const random = seededRandom(3)
const prompt = Int32Array.from({ length: 70 }, () => random.integer(512))
const decoded = Int32Array.of(7, 304, 15, 499, 56, 401, 6, 130)

describe.each([
  'window:budget=24',
  'window:budget=24,renumber=true',
  'snapkv:budget=24,window=8',
  'snapkv:budget=24,window=8,generated=beside',
  'adakv:budget=24,window=8',
  'adakv:budget=24,window=8,generated=beside',
  'pyramidkv:budget=24,window=8',
  'keydiff:budget=24',
  'knorm:budget=24,generated=beside',
  'h2o:budget=24',
  'tova:budget=24',
  'oracle:unit=sentence,budget=24',
  'oracle:unit=sentence,budget=24,jointHeads=true',
  'random:budget=24',
  'quest:budget=24,page=5,recent=6',
  'chunk:budget=24,size=5,recent=6',
  'infllm:budget=24,block=5,recent=6',
])('%s', (spec) => {
  const [arm] = planArms([parsePolicySpec(spec)], [])
  const promises = !/^pyramidkv|beside|jointHeads/.test(spec)
  policySuite(() => makePolicy(arm), {
    describe,
    test,
    engine,
    prompt,
    decoded,
    ...(promises && { budgetTokens: 24 }),
  })
})
