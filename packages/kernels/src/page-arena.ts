import { checkInteger, checkKeys, checkOneOf, pageTokens } from '@kvasir/core'
import { KernelError } from './errors.ts'
import type { KvArena, KvArenaOptions } from './kernels.ts'
import { Resource, type ResourceOwner } from './resource.ts'
import { type ResolvedTierOptions, resolveTier, type TierCounts, type TierNote } from './tier-options.ts'

const optionNames = ['numLayers', 'numKvHeads', 'headDim', 'capacityPages', 'type', 'tier']

/** What arenas of all backends share: options and checks. */
export abstract class PageArena extends Resource implements KvArena {
  readonly numLayers: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly capacityPages: number
  readonly type: 'f16' | 'f32'
  readonly pageBytes: number
  readonly tier: ResolvedTierOptions | null

  constructor(owner: ResourceOwner, options: KvArenaOptions) {
    super(owner)
    checkKeys('createArena', options, optionNames)
    this.numLayers = checkInteger('numLayers', options.numLayers, 1, 4096)
    this.numKvHeads = checkInteger('numKvHeads', options.numKvHeads, 1, 4096)
    this.headDim = checkInteger('headDim', options.headDim, 1, 4096)
    // A slot (page * 16 + offset) is an int32.
    this.capacityPages = checkInteger('capacityPages', options.capacityPages, 1, 2 ** 27 - 1)
    this.type = checkOneOf('type', options.type ?? 'f16', ['f16', 'f32'])
    this.tier = options.tier === undefined ? null : resolveTier(options.tier, this.type)
    const valueBytes = this.type === 'f16' ? 2 : 4
    this.pageBytes = this.numLayers * this.numKvHeads * 2 * pageTokens * this.headDim * valueBytes
  }

  copyPage(from: number, to: number): void {
    this.assertAlive('arena')
    checkInteger('from', from, 0, this.capacityPages - 1)
    checkInteger('to', to, 0, this.capacityPages - 1)
    this.copy(from, to)
  }

  readRows(
    part: 'keys' | 'values',
    layer: number,
    kvHead: number,
    pages: Int32Array,
    start: number,
    end: number,
  ): Float32Array {
    this.assertAlive('arena')
    checkOneOf('part', part, ['keys', 'values'])
    checkInteger('layer', layer, 0, this.numLayers - 1)
    checkInteger('kvHead', kvHead, 0, this.numKvHeads - 1)
    checkInteger('start', start, 0)
    checkInteger('end', end, start, pages.length * pageTokens)
    checkPages('pages', pages.subarray(Math.floor(start / pageTokens), Math.ceil(end / pageTokens)), this)
    return this.read(part, layer, kvHead, pages, start, end)
  }

  counts(): TierCounts | null {
    this.assertAlive('arena')
    return this.tier === null ? null : this.tierCounts()
  }

  abstract readonly notes: readonly TierNote[]

  protected abstract tierCounts(): TierCounts

  protected abstract copy(from: number, to: number): void

  /** Rows [start, end) as float32 [end - start][headDim]; arguments are checked. */
  protected abstract read(
    part: 'keys' | 'values',
    layer: number,
    kvHead: number,
    pages: Int32Array,
    start: number,
    end: number,
  ): Float32Array
}

/** Throws unless every entry is a page of the arena. */
export function checkPages(parameter: string, pages: Int32Array, arena: KvArena): void {
  checkEach(parameter, pages, pages.length, arena.capacityPages, 'a page of the arena')
}

/** Throws unless values[0 .. count) are all in [low, bound). */
export function checkEach(
  parameter: string,
  values: Int32Array,
  count: number,
  bound: number,
  what: string,
  low = 0,
): void {
  for (let i = 0; i < count; i++) {
    const value = values[i] as number
    if (value >= low && value < bound) continue
    throw new KernelError({ parameter: `${parameter}[${i}]`, expected: `${what} in [${low}, ${bound})`, got: value })
  }
}
