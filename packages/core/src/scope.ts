import { ScopeError } from './errors.ts'

/**
 * Who may share KV. Required by every store, index and donor lookup; there is no shared default. Each field is 1 to 128
 * characters out of A-Z a-z 0-9 . _ : @ / + = -
 */
export interface Scope {
  readonly tenant: string
  readonly group: string
  /** Fingerprint of weights and tokenizer. */
  readonly model: string
  /** Fingerprint of page layout and dtype. */
  readonly layout: string
  /** Name of the policy stack that wrote the KV. */
  readonly policy: string
}

/** In the order of the encoding. */
const fields = ['tenant', 'group', 'model', 'layout', 'policy'] as const

const text = /^[A-Za-z0-9._:@/+=-]{1,128}$/

/** Stands in fields of private scopes; outside the alphabet, so that nobody can name one. */
const privateMark = '~'

/** Throws a ScopeError unless `scope` may be shared under: five well-formed fields, and not private. */
export function validateScope(scope: Scope): void {
  for (const field of fields) checkField(scope, field, (value) => text.test(value))
}

/**
 * The scope of a request that named none: shared with nobody. `id` tells one request from another and must be unique in
 * the deployment; it has the alphabet of any scope field. @default a random UUID
 */
export function privateScope(id: string = globalThis.crypto.randomUUID()): Scope {
  if (!text.test(id)) throw fieldError('id', id)
  return { tenant: privateMark, group: id, model: privateMark, layout: privateMark, policy: privateMark }
}

/** True for scopes that `privateScope` made: nothing may be stored under them. */
export function isPrivateScope(scope: Scope): boolean {
  return scope.tenant === privateMark
}

/** True if every field is the same. */
export function sameScope(a: Scope, b: Scope): boolean {
  return fields.every((field) => a[field] === b[field])
}

/**
 * The bytes that keys are derived from: a version byte, then a field: its number (1 byte), its length in bytes
 * (4 bytes, little-endian), its text. No two different scopes share an encoding. Throws a ScopeError on a malformed field.
 */
export function encodeScope(scope: Scope): Uint8Array {
  const bytes: number[] = [1]
  fields.forEach((field, number) => {
    checkField(scope, field, (value) => value === privateMark || text.test(value))
    const { length } = scope[field]
    bytes.push(number, length & 255, length >>> 8, 0, 0)
    for (let at = 0; at < length; at++) bytes.push(scope[field].charCodeAt(at))
  })
  return Uint8Array.from(bytes)
}

function checkField(scope: Scope, field: (typeof fields)[number], accepts: (value: string) => boolean): void {
  const value: unknown = scope?.[field]
  if (typeof value !== 'string' || !accepts(value)) throw fieldError(`scope.${field}`, value)
}

function fieldError(parameter: string, got: unknown): ScopeError {
  return new ScopeError({
    parameter,
    expected: 'a string of 1 to 128 characters out of A-Z a-z 0-9 . _ : @ / + = -',
    got,
    remedy: 'Name all five fields, or leave the scope out to stay private to the request.',
  })
}
