import type { KvShape } from './kv-shape.ts'
import type { RopeSpec } from './rope-spec.ts'
import type { Scope } from './scope.ts'

/** What the bytes of stored KV depend on. They fit an engine whose format is equal in every field. */
export interface KvFormat {
  /** Fingerprint of weights and tokenizer. */
  readonly model: string
  readonly type: 'f16' | 'f32'
  readonly shape: KvShape
}

/** KV of the first rows of one sequence, computed in full at positions 0, 1, 2, ... */
export interface DonorKv {
  /** 1 to 128 characters out of A-Z a-z 0-9 . _ : - */
  readonly id: string
  readonly scope: Scope
  readonly tokens: Int32Array
  readonly format: KvFormat
  /**
   * [numKvHeads][keys, values][tokens.length][headDim] of a layer, little-endian, keys rotated; good until `close`.
   * Throws an IntegrityError where the stored bytes are damaged.
   */
  layer(layer: number, signal?: AbortSignal): Promise<Uint8Array>
  /** The reader is done; safe to call twice. */
  close(): void
}

/** Where an engine puts KV that may be lent, and finds it again. */
export interface DonorStore {
  /** Copies the donor in; false where it was turned away. The caller closes it. */
  put(donor: DonorKv, signal?: AbortSignal): Promise<boolean>
  /**
   * The donor, held until it is closed whatever else the store evicts; null where there is none. Throws a ScopeError for
   * a donor of another scope, and an IntegrityError for one that is damaged.
   */
  open(id: string, scope: Scope, signal?: AbortSignal): Promise<DonorKv | null>
}

/** Where two formats differ, as `model: a, not b`; null where they are equal. */
export function formatDifference(expected: KvFormat, got: KvFormat): string | null {
  return firstDifference('', expected, got)
}

/** Where two RoPE specs differ, as `theta: 10000, not 500000`; null where they are equal. */
export function ropeDifference(expected: RopeSpec | null, got: RopeSpec | null): string | null {
  return firstDifference('', expected, got)
}

function firstDifference(path: string, expected: unknown, got: unknown): string | null {
  if (Object.is(expected, got)) return null
  if (!isObject(expected) || !isObject(got)) {
    return `${path === '' ? 'value' : path.slice(1)}: ${JSON.stringify(got)}, not ${JSON.stringify(expected)}`
  }
  for (const key of new Set([...Object.keys(expected), ...Object.keys(got)])) {
    const found = firstDifference(`${path}.${key}`, expected[key], got[key])
    if (found !== null) return found
  }
  return null
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
