import { DisposedError, OptionError, type Scope, ScopeError, ShapeError } from '@kvasir/core'
import { seededRandom } from '@kvasir/core/testing'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createDonorIndex, type DonorIndexOptions } from './donor-index.ts'

const secret = Uint8Array.from({ length: 32 }, (_, i) => 7 * i)
const scopeOf = (tenant: string): Scope => ({ tenant, group: 'g', model: 'm', layout: 'f16', policy: 'p' })
const scope = scopeOf('a')
const indexOf = (options: DonorIndexOptions = {}) => createDonorIndex({ secret, ...options })

/** Tokens of a text of its own. */
function textOf(seed: number, length = 600): Int32Array {
  const random = seededRandom(seed)
  return Int32Array.from({ length }, () => random.integer(40_000))
}

const join = (...parts: Int32Array[]) => Int32Array.from(parts.flatMap((part) => [...part]))

describe('query', () => {
  test('finds the donor that holds the target, wherever the shared text stands in both', () => {
    const index = indexOf()
    for (let i = 0; i < 200; i++) index.insert({ id: `d${i}`, scope, tokens: textOf(i) })
    const target = join(textOf(1000, 100), textOf(7).subarray(200, 500), textOf(1001, 200))
    const [best, ...others] = index.query(target, scope, { limit: 5 })
    expect(best).toMatchObject({ id: 'd7', agreement: null })
    expect(best.estimatedShare).toBeGreaterThan(0.35)
    expect(best.estimatedShare).toBeLessThan(0.6)
    expect(best.addedShare).toBe(best.estimatedShare)
    expect(others).toEqual([])
    expect(index.query(textOf(2000), scope, { limit: 5 })).toEqual([])
  })

  test('finds a short target inside a far longer donor', () => {
    const index = indexOf()
    index.insert({ id: 'long', scope, tokens: textOf(1, 20_000) })
    const [found] = index.query(textOf(1, 20_000).subarray(12_000, 12_200), scope, { limit: 1 })
    expect(found).toMatchObject({ id: 'long', estimatedShare: 1 })
  })

  test('finds a target that repeats one line, whatever the secret', () => {
    const lines = join(...Array.from({ length: 12 }, () => textOf(3, 17)))
    for (let seed = 0; seed < 100; seed++) {
      const index = indexOf({ secret: Uint8Array.from(textOf(seed, 32), (token) => token & 255) })
      index.insert({ id: 'lines', scope, tokens: join(lines, textOf(4, 2)) })
      expect(index.query(join(textOf(5, 3), lines), scope, { limit: 1 })).toMatchObject([{ id: 'lines' }])
    }
  })

  test('names a donor for each part of a target before copies of the first', () => {
    const index = indexOf()
    const parts = [textOf(1, 500), textOf(2, 400), textOf(3, 300)]
    for (const copy of [1, 2, 3, 4]) index.insert({ id: `first${copy}`, scope, tokens: parts[0] })
    index.insert({ id: 'second', scope, tokens: join(textOf(9), parts[1]) })
    index.insert({ id: 'third', scope, tokens: parts[2] })
    const found = index.query(join(...parts), scope, { limit: 4 })
    expect(found.map(({ id }) => id.replace(/\d/, ''))).toEqual(['first', 'second', 'third', 'first'])
    expect(found.map(({ addedShare }) => addedShare > 0)).toEqual([true, true, true, false])
    const sum = found.reduce((total, { addedShare }) => total + addedShare, 0)
    expect(sum).toBeGreaterThan(0.95)
    expect(sum).toBeLessThanOrEqual(1)
  })

  test('estimates the share within what sampling allows', () => {
    const index = indexOf()
    index.insert({ id: 'd', scope, tokens: textOf(1, 8000) })
    for (const share of [0.1, 0.3, 0.6, 0.9]) {
      const kept = Math.round(8000 * share)
      const target = join(textOf(1, 8000).subarray(0, kept), textOf(2, 8000 - kept))
      const [found] = index.query(target, scope, { limit: 1 })
      expect(Math.abs(found.estimatedShare - share)).toBeLessThan(4 * Math.sqrt((share * (1 - share)) / 1000))
    }
  })

  test('tells a rare overlap from text that all have', () => {
    const index = indexOf()
    const template = textOf(1, 300)
    for (let i = 0; i < 500; i++) index.insert({ id: `d${i}`, scope, tokens: join(template, textOf(100 + i, 300)) })
    // The donor is old, and has no place left in the lists of the template.
    const target = join(template, textOf(103, 300).subarray(0, 150), textOf(5000, 150))
    const [found] = index.query(target, scope, { limit: 3 })
    expect(found.id).toBe('d3')
    expect(found.estimatedShare).toBeGreaterThan(0.6)
  })

  test('finds by signature what shares no text, after what does', () => {
    const index = indexOf({ signatureWords: 8 })
    const random = seededRandom(3)
    const signatures = Array.from({ length: 50 }, () => Uint32Array.from({ length: 8 }, () => random.integer(2 ** 32)))
    for (const [i, signature] of signatures.entries())
      index.insert({ id: `d${i}`, scope, tokens: textOf(i), signature })
    index.insert({ id: 'plain', scope, tokens: textOf(900) })
    const signature = signatures[4].slice()
    signature[2] ^= 0b101
    const found = index.query(join(textOf(6), textOf(900)), scope, { limit: 3, signature })
    expect(found.map(({ id }) => id).sort()).toEqual(['d4', 'd6', 'plain'])
    expect(found[2]).toEqual({ id: 'd4', estimatedShare: 0, addedShare: 0, agreement: 1 - 2 / 256 })
    expect(found.find(({ id }) => id === 'plain')?.agreement).toBeNull()
    expect(index.query(textOf(6), scope, { limit: 3 })).toHaveLength(1)
    index.remove('d4', scope)
    expect(index.query(textOf(6), scope, { limit: 3, signature })).toHaveLength(1)
  })
})

describe('lifetimes and room', () => {
  test('never offers an expired donor, and frees its room', () => {
    let nowMs = 1000
    const index = indexOf({ now: () => nowMs })
    index.insert({ id: 'short', scope, tokens: textOf(1), ttlMs: 50 })
    index.insert({ id: 'long', scope, tokens: textOf(1), ttlMs: 500 })
    const ids = () => index.query(textOf(1), scope, { limit: 9 }).map(({ id }) => id)
    expect(ids().sort()).toEqual(['long', 'short'])
    nowMs = 1050
    expect(ids()).toEqual(['long'])
    expect(index.size(scope)).toBe(1)
    expect(index.counts().donors).toBe(2)
    expect(index.sweep()).toBe(1)
    expect(index.counts()).toMatchObject({ scopes: 1, donors: 1 })
    nowMs = 2000
    expect(index.sweep()).toBe(1)
    expect(index.counts()).toMatchObject({ scopes: 0, donors: 0, bytes: 0 })
  })

  test('frees expired donors as others come in', () => {
    let nowMs = 0
    const index = indexOf({ now: () => nowMs })
    for (let i = 0; i < 100; i++) index.insert({ id: `old${i}`, scope, tokens: textOf(i, 50), ttlMs: 10 })
    nowMs = 10
    for (let i = 0; i < 30; i++) index.insert({ id: `new${i}`, scope, tokens: textOf(i, 50), ttlMs: 10 })
    expect(index.counts().donors).toBe(30)
  })

  test('gives up the donor used longest ago, of the scope that holds most', () => {
    const index = indexOf({ maxDonors: 6 })
    const other = scopeOf('b')
    index.insert({ id: 'theirs', scope: other, tokens: textOf(50) })
    for (let i = 0; i < 5; i++) index.insert({ id: `d${i}`, scope, tokens: textOf(i) })
    // Being offered is use.
    expect(index.query(textOf(0), scope, { limit: 1 })).toHaveLength(1)
    for (let i = 5; i < 8; i++) index.insert({ id: `d${i}`, scope, tokens: textOf(i) })
    expect(index.size(other)).toBe(1)
    const left = Array.from({ length: 8 }, (_, i) => index.query(textOf(i), scope, { limit: 1 }).length)
    expect(left).toEqual([1, 0, 0, 0, 1, 1, 1, 1])
  })

  test('replaces a donor of the same id, and not that of another scope', () => {
    const index = indexOf()
    index.insert({ id: 'd', scope, tokens: textOf(1) })
    index.insert({ id: 'd', scope: scopeOf('b'), tokens: textOf(1) })
    index.insert({ id: 'd', scope, tokens: textOf(2) })
    expect(index.size(scope)).toBe(1)
    expect(index.query(textOf(1), scope, { limit: 1 })).toEqual([])
    expect(index.query(textOf(2), scope, { limit: 1 })).toHaveLength(1)
    expect(index.query(textOf(1), scopeOf('b'), { limit: 1 })).toHaveLength(1)
    expect(index.remove('d', scope)).toBe(true)
    expect(index.remove('d', scope)).toBe(false)
    expect(index.removeScope(scopeOf('b'))).toBe(1)
    expect(index.counts().donors).toBe(0)
  })
})

describe('scopes', () => {
  const fields = ['tenant', 'group', 'model', 'layout', 'policy'] as const
  /** Pairs of scopes that differ in one field, or whose fields run together alike. */
  const scopes = [
    scope,
    ...fields.map((field) => ({ ...scope, [field]: 'other' })),
    { ...scope, tenant: 'ag', group: '-' },
  ]
  const anyStep = fc.record({
    kind: fc.constantFrom('insert', 'insert', 'insert', 'remove', 'query', 'removeScope', 'wait'),
    scope: fc.nat(scopes.length - 1),
    id: fc.nat(5),
    text: fc.nat(3),
    ttlMs: fc.constantFrom(undefined, 3),
  })

  test('never meet: an index of many scopes does what one of each does', () => {
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 50, size: 'max' }), (steps) => {
        let nowMs = 0
        const now = () => nowMs
        const index = indexOf({ now })
        const apart = scopes.map(() => indexOf({ now }))
        const held = scopes.map(() => new Map<string, { text: number; endMs: number }>())
        for (const step of steps) {
          const [own, own1, mine] = [scopes[step.scope], apart[step.scope], held[step.scope]]
          const id = `d${step.id}`
          if (step.kind === 'wait') nowMs++
          else if (step.kind === 'insert') {
            const ttl = step.ttlMs === undefined ? {} : { ttlMs: step.ttlMs }
            for (const each of [index, own1]) each.insert({ id, scope: own, tokens: textOf(step.text, 120), ...ttl })
            mine.set(id, { text: step.text, endMs: nowMs + (step.ttlMs ?? Number.POSITIVE_INFINITY) })
          } else if (step.kind === 'remove') {
            expect(index.remove(id, own)).toBe(own1.remove(id, own))
            mine.delete(id)
          } else if (step.kind === 'removeScope') {
            expect(index.removeScope(own)).toBe(own1.removeScope(own))
            mine.clear()
          }
          const alive = [...mine].filter(([, { endMs }]) => endMs > nowMs)
          expect(index.size(own)).toBe(alive.length)
          const found = index.query(textOf(step.text, 120), own, { limit: 9 })
          expect(found).toEqual(own1.query(textOf(step.text, 120), own, { limit: 9 }))
          const expected = alive.filter(([, { text }]) => text === step.text).map(([name]) => name)
          expect(found.map((each) => each.id).sort()).toEqual(expected.sort())
        }
      }),
      { numRuns: 150 },
    )
  })

  test('are required and checked', () => {
    const index = indexOf()
    const tokens = textOf(1)
    for (const wrong of [undefined, { ...scope, tenant: '' }, { ...scope, group: 'a b' }, { tenant: 'a' }]) {
      expect(() => index.insert({ id: 'd', scope: wrong as never, tokens })).toThrow(ScopeError)
      expect(() => index.query(tokens, wrong as never, { limit: 1 })).toThrow(ScopeError)
      expect(() => index.remove('d', wrong as never)).toThrow(ScopeError)
      expect(() => index.size(wrong as never)).toThrow(ScopeError)
    }
  })
})

test('refuses what does not fit, and any use after disposal', () => {
  expect(() => createDonorIndex({ secret: new Uint8Array(15) })).toThrow(OptionError)
  expect(() => indexOf({ shingleTokens: 0 })).toThrow(OptionError)
  expect(() => indexOf({ maxdonors: 5 } as never)).toThrow(/Did you mean maxDonors/)
  const index = indexOf({ signatureWords: 2 })
  const donor = { id: 'd', scope, tokens: textOf(1) }
  expect(() => index.insert({ ...donor, id: '' })).toThrow(OptionError)
  expect(() => index.insert({ ...donor, ttlMs: -1 })).toThrow(OptionError)
  expect(() => index.insert({ ...donor, signature: new Uint32Array(3) })).toThrow(ShapeError)
  expect(() => index.query(textOf(1), scope, { limit: 0 })).toThrow(OptionError)
  expect(() => index.query(textOf(1), scope, { limit: 1, minShare: 2 } as never)).toThrow(OptionError)
  expect(() => indexOf().insert({ ...donor, signature: new Uint32Array(3) })).toThrow(/signatureWords is 0/)
  index.dispose()
  expect(() => index.query(textOf(1), scope, { limit: 1 })).toThrow(DisposedError)
  expect(() => index.insert(donor)).toThrow(DisposedError)
})
