import { OptionError, privateScope, type Scope, ScopeError } from '@kvasir/core'
import { expect, test } from 'vitest'
import { deriveKey } from './derive-key.ts'

const secret = new Uint8Array(32).fill(7)
const scope: Scope = { tenant: 'a', group: 'b', model: 'm', layout: 'l', policy: 'p' }
const hex = (key: Uint8Array) => Buffer.from(key).toString('hex')

test('the same secret, scope, use and rotation give the same 32 bytes', () => {
  const key = deriveKey(secret, { scope, use: 'planes' })
  expect(key).toHaveLength(32)
  expect(hex(deriveKey(secret.slice(), { scope: { ...scope }, use: 'planes', rotation: 0 }))).toBe(hex(key))
})

test('a change of any part gives another key', () => {
  const keys = [
    deriveKey(secret, { scope, use: 'planes' }),
    deriveKey(secret, { scope, use: 'bands' }),
    deriveKey(secret, { scope, use: 'planes', rotation: 1 }),
    deriveKey(secret, { scope: { ...scope, group: 'c' }, use: 'planes' }),
    deriveKey(secret, { scope: privateScope('one'), use: 'planes' }),
    deriveKey(secret.slice(1), { scope, use: 'planes' }),
  ]
  expect(new Set(keys.map(hex)).size).toBe(keys.length)
})

test('short secrets, empty uses, unknown options and malformed scopes are refused', () => {
  expect(() => deriveKey(new Uint8Array(15), { scope, use: 'planes' })).toThrow(OptionError)
  expect(() => deriveKey(secret, { scope, use: '' })).toThrow(OptionError)
  expect(() => deriveKey(secret, { scope, use: 'planes', rotation: -1 })).toThrow(OptionError)
  expect(() => deriveKey(secret, { scope, use: 'planes', rotaton: 1 } as never)).toThrow('Did you mean rotation?')
  expect(() => deriveKey(secret, { scope: { ...scope, tenant: '' }, use: 'planes' })).toThrow(ScopeError)
})
