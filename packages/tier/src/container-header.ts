import { IntegrityError, KvasirError, type KvFormat, type Scope, validateScope } from '@kvasir/core'
import { checkDonorId, checkFormat } from './donor-format.ts'

/** What a container says of its rows, as JSON: these fields in this order, written in one way only. */
export interface ContainerHeader {
  readonly id: string
  readonly scope: Scope
  readonly format: KvFormat
}

/** Only rows computed in full, from the first position on, are ever stored. */
const origin = { provenance: 'exact', firstPosition: 0 } as const

const fields = ['id', 'scope', 'format', 'provenance', 'firstPosition']
const scopeFields = ['tenant', 'group', 'model', 'layout', 'policy']

export function encodeHeader({ id, scope, format }: ContainerHeader): Uint8Array {
  const { tenant, group, model, layout, policy } = scope
  return Buffer.from(JSON.stringify({ id, scope: { tenant, group, model, layout, policy }, format, ...origin }))
}

/**
 * Throws an IntegrityError that names the field: a missing, unknown or malformed one, and any text that is not how these
 * fields are written, such as one with a key twice.
 */
export function decodeHeader(bytes: Uint8Array): ContainerHeader {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    const value = JSON.parse(text, refuseProto) as ContainerHeader & typeof origin
    checkFields('header', value, fields)
    checkFields('header.scope', value.scope, scopeFields)
    checkFields('header.format', value.format, ['model', 'type', 'shape'])
    checkFields('header.format.shape', value.format.shape, ['layers'])
    checkDonorId(value.id)
    validateScope(value.scope)
    checkFormat(value.format)
    checkEqual('header.provenance', value.provenance, origin.provenance)
    checkEqual('header.firstPosition', value.firstPosition, origin.firstPosition)
    if (JSON.stringify(value) === text) return { id: value.id, scope: value.scope, format: value.format }
    throw headerError('header', 'each key once, and no more spaces than needed', text)
  } catch (error) {
    if (error instanceof IntegrityError) throw error
    const named = error instanceof KvasirError
    const parameter = named ? `header.${error.parameter.replace(/^header\./, '')}` : 'header'
    throw headerError(parameter, named ? error.expected : 'JSON', named ? error.got : error, error)
  }
}

function refuseProto(key: string, value: unknown): unknown {
  if (key !== '__proto__') return value
  throw headerError('header', 'no key __proto__', key)
}

function checkFields(parameter: string, value: unknown, known: readonly string[]): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw headerError(parameter, 'an object', value)
  }
  const got = Object.keys(value)
  const unknown = got.find((key) => !known.includes(key))
  if (unknown !== undefined) throw headerError(parameter, `the keys ${known.join(', ')}`, unknown)
  const missing = known.find((key) => !got.includes(key))
  if (missing !== undefined) throw headerError(`${parameter}.${missing}`, 'a value', undefined)
}

function checkEqual(parameter: string, got: unknown, expected: unknown): void {
  if (got !== expected) throw headerError(parameter, JSON.stringify(expected), got)
}

function headerError(parameter: string, expected: string, got: unknown, cause?: unknown): IntegrityError {
  return new IntegrityError({ parameter, expected, got, ...(cause === undefined ? {} : { cause }) })
}
