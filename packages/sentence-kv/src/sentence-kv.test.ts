import { CapabilityError, compose, type EngineProfile, fixedSelection, openGuarded, privateScope } from '@kvasir/core'
import { toyEngine } from '@kvasir/core/testing'
import { loadKernels } from '@kvasir/kernels'
import { expect, test } from 'vitest'
import { sentenceKv } from './sentence-kv.ts'

const layer = { numHeads: 4, numKvHeads: 2, headDim: 32, rope: null }
const capable: EngineProfile = {
  name: 'double',
  shape: { layers: [layer, layer] },
  capabilities: new Set(['select.runs', 'select.native:segment-codes']),
  contextTokens: 1024,
}

test('it is frozen, and says that it is lossy and selects natively', () => {
  const policy = sentenceKv({ budgetTokens: 128 })
  expect(Object.isFrozen(policy)).toBe(true)
  expect(policy).toMatchObject({ name: 'sentence-kv:kvasir', effects: { fidelity: 'lossy', selectsNatively: true } })
})

test('an engine without its selector is refused when a sequence is opened, with the way out', () => {
  const policy = sentenceKv({ budgetTokens: 128 })
  expect(() => toyEngine().createSequence({ policy })).toThrow(/select\.native:segment-codes.*write-an-engine/)
})

test('so is one that shares no kernels, or has layers of two shapes', async () => {
  const policy = sentenceKv({ budgetTokens: 128 })
  expect(() => policy.bind(capable)).toThrow(CapabilityError)
  const kernels = await loadKernels({ backend: 'reference' })
  policy.bind({ ...capable, kernels })
  const shape = { layers: [layer, { ...layer, headDim: 16 }] }
  expect(() => policy.bind({ ...capable, kernels, shape })).toThrow(/layer 1 of another shape/)
  await kernels.dispose()
})

test('nothing can refine it: the stack says so when it is built', () => {
  const refining = fixedSelection('recent', () => [])
  const stack = () =>
    compose(sentenceKv({ budgetTokens: 128 }), { ...refining, effects: { ...refining.effects, refines: true } })
  expect(stack).toThrow(/native selection/)
})

test('a session counts nothing before its first prompt', async () => {
  const kernels = await loadKernels({ backend: 'reference' })
  const context = { id: 's', profile: { ...capable, kernels }, scope: privateScope('s') }
  const session = openGuarded(sentenceKv({ budgetTokens: 128 }), context, {
    onQuarantine: ({ error }) => {
      throw error
    },
  })
  expect(session.counts()).toEqual({ steps: 0, attendedTokens: 0, pooledTokens: 0, indexBytes: 0 })
  await session[Symbol.asyncDispose]()
  await kernels.dispose()
})
