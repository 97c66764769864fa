import { checkInteger, checkNumber, OptionError, ShapeError } from '@kvasir/core'
import type { PageArena } from './page-arena.ts'
import { ownResource, type ResourceOwner } from './resource.ts'
import type { SequenceKv } from './selection.ts'

type ArenaClass<T extends PageArena> = abstract new (...args: never[]) => T

/** The arena of attentionWeights; throws unless its arguments fit. The backends check each index where they use it. */
export function checkWeights<T extends PageArena>(
  owner: ResourceOwner,
  type: ArenaClass<T>,
  kv: SequenceKv,
  layer: number,
  kvHead: number,
  queries: Float32Array,
  indices: Int32Array,
  scale: number,
): T {
  const arena = ownResource('kv.arena', kv?.arena, type, owner)
  checkInteger('layer', layer, 0, arena.numLayers - 1)
  checkInteger('kvHead', kvHead, 0, arena.numKvHeads - 1)
  checkNumber('scale', scale, -Number.MAX_VALUE, Number.MAX_VALUE)
  checkArray('kv.pages', kv.pages, Int32Array)
  checkArray('indices', indices, Int32Array)
  checkArray('queries', queries, Float32Array)
  if (queries.length > 0 && queries.length % arena.headDim === 0) return arena
  const expected = `[group][${arena.headDim}] values, group >= 1`
  throw new ShapeError({ parameter: 'queries', expected, got: `${queries.length} values` })
}

function checkArray(parameter: string, value: unknown, type: typeof Int32Array | typeof Float32Array): void {
  if (!(value instanceof type)) throw new OptionError({ parameter, expected: `a ${type.name}`, got: value })
}
