import type { GgufValue } from './gguf/header.ts'
import { ModelError } from './model-error.ts'

type Metadata = ReadonlyMap<string, GgufValue>

/** A finite number in [min, max], `fallback` where the key is absent; without a fallback the key is required. */
export function numberKey(metadata: Metadata, key: string, min: number, max: number, fallback?: number): number {
  const value = metadata.get(key)
  if (value === undefined) return fallback ?? missing(key)
  if (typeof value !== 'number') throw new ModelError('wrong-key-type', key, 'a number', value)
  if (value >= min && value <= max) return value
  throw new ModelError('bad-value', key, `a number in [${min}, ${max}]`, value)
}

/** An integer in [min, max], `fallback` where the key is absent; without a fallback the key is required. */
export function integerKey(metadata: Metadata, key: string, min: number, max: number, fallback?: number): number {
  const value = metadata.get(key)
  if (value === undefined) return fallback ?? missing(key)
  if (typeof value !== 'number') throw new ModelError('wrong-key-type', key, 'an integer', value)
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw new ModelError('bad-value', key, `an integer in [${min}, ${max}]`, value)
}

/** A string, `fallback` where the key is absent; without a fallback the key is required. */
export function stringKey(metadata: Metadata, key: string, fallback?: string): string {
  const value = metadata.get(key)
  if (value === undefined) return fallback ?? missing(key)
  if (typeof value === 'string') return value
  throw new ModelError('wrong-key-type', key, 'a string', value)
}

/** A boolean, `fallback` where the key is absent. */
export function booleanKey(metadata: Metadata, key: string, fallback: boolean): boolean {
  const value = metadata.get(key) ?? fallback
  if (typeof value === 'boolean') return value
  throw new ModelError('wrong-key-type', key, 'a boolean', value)
}

function missing(key: string): never {
  throw new ModelError('missing-key', key, 'a value', undefined)
}
