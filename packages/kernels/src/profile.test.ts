import { CapabilityError, type EngineProfile, type KvReader } from '@kvasir/core'
import { expect, test } from 'vitest'
import { loadKernels } from './backends.ts'
import { kernelsOf, nativeKvOf } from './profile.ts'

const profile: EngineProfile = { name: 'toy', shape: { layers: [] }, capabilities: new Set(), contextTokens: 1 }

test('kernelsOf gives the kernels of the profile, or says what is missing', async () => {
  const kernels = await loadKernels({ backend: 'reference' })
  expect(kernelsOf({ ...profile, kernels })).toBe(kernels)
  expect(() => kernelsOf(profile)).toThrow(CapabilityError)
  expect(() => kernelsOf({ ...profile, kernels: {} })).toThrow('kernels shared by the engine toy')
})

test('nativeKvOf gives the arena and pages of a reader, or says what is missing', () => {
  const reader = { numTokens: 0 } as KvReader
  const native = { arena: {}, pages: new Int32Array() }
  expect(nativeKvOf({ ...reader, native })).toBe(native)
  expect(() => nativeKvOf(reader)).toThrow(CapabilityError)
  expect(() => nativeKvOf({ ...reader, native: { arena: {} } })).toThrow('kv.native')
})
