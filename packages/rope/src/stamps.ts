import {
  checkInteger,
  checkKeys,
  ProvenanceError,
  type RopeSpec,
  type RopeStamp,
  ropeDifference,
  ShapeError,
} from '@kvasir/core'
import type { HalfType } from './half-floats.ts'
import { reposition } from './reposition.ts'

/** RoPE of each layer; null for a layer without. */
export type LayerRopes = readonly (RopeSpec | null)[]

/**
 * What `make` gives for each layer's spec, null for layers without RoPE. Layers of equal specs share one result, so that
 * a model with two thetas makes two tables and not one a layer.
 */
export function perLayer<T>(ropes: LayerRopes, make: (spec: RopeSpec) => T): (T | null)[] {
  const made: { readonly spec: RopeSpec; readonly result: T }[] = []
  return ropes.map((spec) => {
    if (spec === null) return null
    const known = made.find((each) => ropeDifference(each.spec, spec) === null)
    if (known !== undefined) return known.result
    const result = make(spec)
    made.push({ spec, result })
    return result
  })
}

export interface StampOptions {
  /** Position of the first row. @default 0 */
  readonly origin?: number
  /** Length of the sequence whose frequencies the keys get, for dynamic-ntk and longrope. @default 0 */
  readonly numTokens?: number
}

/** The stamps of keys as they come out of a model: one a layer. */
export function stampsOf(ropes: LayerRopes, options: StampOptions = {}): RopeStamp[] {
  checkKeys('stampsOf', options, ['origin', 'numTokens'])
  const origin = checkInteger('origin', options.origin ?? 0, 0)
  const numTokens = checkInteger('numTokens', options.numTokens ?? 0, 0)
  return ropes.map((spec) =>
    spec === null ? { rotated: false } : { rotated: true, spec, origin, numTokens, turned: false },
  )
}

/**
 * Throws a ShapeError that names the layer and the field unless keys so stamped can serve a model of `ropes`. Origin and
 * length may be any: moving mends those.
 */
export function checkStamps(ropes: LayerRopes, stamps: readonly RopeStamp[]): void {
  if (stamps.length !== ropes.length) {
    throw new ShapeError({ parameter: 'stamps', expected: `${ropes.length} stamps, one a layer`, got: stamps.length })
  }
  stamps.forEach((stamp, layer) => {
    const difference = ropeDifference(ropes[layer] as RopeSpec | null, stamp.rotated ? stamp.spec : null)
    if (difference === null) return
    throw new ShapeError({
      parameter: `stamps[${layer}].spec`,
      expected: `the RoPE of the model's layer ${layer}`,
      got: difference,
      remedy: 'Keys serve only where keys are rotated as they were.',
    })
  })
}

export interface MoveOptions {
  /** Required. */
  readonly headDim: number
  /** Position that the first row gets; the others follow. Required. */
  readonly origin: number
  /** Length of the sequence that the keys go to. @default stamp.numTokens */
  readonly numTokens?: number
  /** KV heads of a row. @default 1 */
  readonly numKvHeads?: number
  /** What a Uint16Array holds. Required for one; none else has it. */
  readonly type?: HalfType
}

/**
 * Keys [numRows][numKvHeads][headDim] as if computed at consecutive positions from `origin`, in a new array, with its
 * stamp; keys without RoPE come back as they are. Throws a ProvenanceError for keys that were moved before: the computed
 * ones are where to start.
 */
export function moveStamped<Keys extends Float32Array | Uint16Array>(
  keys: Keys,
  stamp: RopeStamp,
  options: MoveOptions,
): { readonly keys: Keys; readonly stamp: RopeStamp } {
  checkKeys('moveStamped', options, ['headDim', 'origin', 'numTokens', 'numKvHeads', 'type'])
  if (!stamp.rotated) return { keys: keys.slice() as Keys, stamp }
  if (stamp.turned) {
    throw new ProvenanceError({
      parameter: 'stamp.turned',
      expected: 'keys as they were computed',
      got: stamp.turned,
      remedy: 'Move the keys that these were made from: errors of a chain add up.',
    })
  }
  const { headDim, origin, numTokens = stamp.numTokens, numKvHeads = 1, type } = options
  const numRows = keys.length / (checkInteger('numKvHeads', numKvHeads, 1) * headDim)
  if (!Number.isInteger(numRows)) {
    throw new ShapeError({ parameter: 'keys', expected: `whole rows of ${numKvHeads} heads`, got: keys })
  }
  const moved = reposition(keys, stamp.spec, {
    headDim,
    from: Array.from({ length: numRows }, (_, row) => stamp.origin + row),
    to: origin,
    fromNumTokens: stamp.numTokens,
    toNumTokens: numTokens,
    ...(type === undefined ? {} : { type }),
  })
  return { keys: moved, stamp: { ...stamp, origin, numTokens, turned: true } }
}
