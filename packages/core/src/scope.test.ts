import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ScopeError } from './errors.ts'
import { encodeScope, isPrivateScope, privateScope, type Scope, sameScope, validateScope } from './scope.ts'

const alphabet = 'ABCXYZabcxyz0189._:@/+=-'
const field = fc.string({ unit: fc.constantFrom(...alphabet), minLength: 1, maxLength: 128 })
const scopes = fc.record({ tenant: field, group: field, model: field, layout: field, policy: field })
const names = ['tenant', 'group', 'model', 'layout', 'policy'] as const
const scope: Scope = { tenant: 'acme', group: 'legal', model: 'm', layout: 'l', policy: 'p' }

/** What an encoding must allow: reading the scope back. */
function decode(bytes: Uint8Array): Scope {
  const view = new DataView(bytes.buffer)
  const entries: [string, string][] = []
  for (let at = 1; at < bytes.length; ) {
    const length = view.getUint32(at + 1, true)
    entries.push([names[view.getUint8(at)], String.fromCharCode(...bytes.subarray(at + 5, at + 5 + length))])
    at += 5 + length
  }
  return Object.fromEntries(entries) as unknown as Scope
}

describe('scopes', () => {
  test('are read back from their encoding, so no two share one', () => {
    fc.assert(
      fc.property(scopes, (any) => {
        validateScope(any)
        expect(decode(encodeScope(any))).toEqual(any)
      }),
      { numRuns: 500 },
    )
  })

  test('differ in their encoding when text moves over a boundary of fields', () => {
    fc.assert(
      fc.property(field, field, fc.nat(127), (a, b, cut) => {
        const joined = a + b
        const at = 1 + (cut % (joined.length - 1))
        const moved = { ...scope, tenant: joined.slice(0, at).slice(0, 128), group: joined.slice(at).slice(0, 128) }
        const origin = { ...scope, tenant: a, group: b }
        const same = Buffer.from(encodeScope(origin)).equals(Buffer.from(encodeScope(moved)))
        expect(same).toBe(sameScope(origin, moved))
      }),
    )
  })

  test.each(names)('differ when %s differs', (name) => {
    expect(sameScope(scope, { ...scope, [name]: 'other' })).toBe(false)
    expect(sameScope(scope, { ...scope })).toBe(true)
  })

  test.each(['', 'a b', 'a\u0000', 'é', '~', '\ud800', 'x'.repeat(129), 7, undefined])(
    'refuse %j in any field',
    (wrong) => {
      for (const name of names) {
        expect(() => validateScope({ ...scope, [name]: wrong } as never)).toThrow(ScopeError)
        if (wrong !== '~') expect(() => encodeScope({ ...scope, [name]: wrong } as never)).toThrow(ScopeError)
      }
    },
  )

  test('refuse to be absent', () => {
    expect(() => validateScope(undefined as never)).toThrow(/leave the scope out to stay private/)
  })
})

describe('private scopes', () => {
  test('are shared with nobody, whatever others name themselves', () => {
    expect(sameScope(privateScope(), privateScope())).toBe(false)
    expect(sameScope(privateScope('a'), privateScope('b'))).toBe(false)
    fc.assert(fc.property(scopes, (any) => !isPrivateScope(any) && !sameScope(any, privateScope(any.group))))
    expect(encodeScope(privateScope('a'))).not.toEqual(encodeScope(privateScope('b')))
  })

  test('are no scopes to store under, and have well-formed ids', () => {
    expect(isPrivateScope(privateScope('a'))).toBe(true)
    expect(() => validateScope(privateScope('a'))).toThrow(ScopeError)
    expect(() => privateScope('a b')).toThrow(ScopeError)
  })
})
