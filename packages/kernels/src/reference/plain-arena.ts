import { pageTokens } from '@kvasir/core'
import type { KvArenaOptions } from '../kernels.ts'
import { PageArena } from '../page-arena.ts'
import type { ResourceOwner } from '../resource.ts'
import type { TierCounts, TierNote } from '../tier-options.ts'
import { roundToHalf } from './float16.ts'
import { roundToInt8Row } from './int8-rows.ts'
import { FileTiles, MemoryTiles, type Tiles } from './plain-tiles.ts'
import { TierPlan } from './tier-plan.ts'

/** KV rows as plain float32, rounded as an f16 arena or its tier would. A tier keeps its books; rows are read where they lie. */
export class PlainArena extends PageArena {
  /** Null without a tier. */
  readonly plan: TierPlan | null
  readonly #tiles: Tiles

  constructor(owner: ResourceOwner, options: KvArenaOptions) {
    super(owner, options)
    const { tier, numLayers, numKvHeads, headDim } = this
    this.plan = tier === null ? null : new TierPlan({ numLayers, numKvHeads, headDim, tier })
    const length = numKvHeads * 2 * pageTokens * headDim
    this.#tiles = tier?.lower.kind === 'file' ? new FileTiles(tier.lower.path, length) : new MemoryTiles(length)
  }

  get notes(): readonly TierNote[] {
    const asked = this.tier?.lower.kind === 'file' && this.tier.lower.direct
    return asked ? [{ kind: 'direct-refused', reason: 'the reference backend reads files through the cache' }] : []
  }

  /** Stores values [at, at + headDim) as the row of a slot. */
  writeRow(
    part: 'keys' | 'values',
    layer: number,
    kvHead: number,
    slot: number,
    values: Float32Array,
    at: number,
  ): void {
    const number = this.tileNumber(layer, Math.floor(slot / pageTokens))
    const tile = this.#tiles.get(number)
    tile.set(this.stored(values.subarray(at, at + this.headDim)), this.rowStart(part, kvHead, slot % pageTokens))
    this.#tiles.put(number, tile)
  }

  /** The row of KV index `index` [headDim]; not to be written to. */
  row(part: 'keys' | 'values', layer: number, kvHead: number, pages: Int32Array, index: number): Float32Array {
    const tile = this.#tiles.get(this.tileNumber(layer, pages[Math.floor(index / pageTokens)] as number))
    const start = this.rowStart(part, kvHead, index % pageTokens)
    return tile.subarray(start, start + this.headDim)
  }

  protected read(
    part: 'keys' | 'values',
    layer: number,
    kvHead: number,
    pages: Int32Array,
    start: number,
    end: number,
  ): Float32Array {
    const rows = new Float32Array((end - start) * this.headDim)
    for (let index = start; index < end; index++) {
      rows.set(this.row(part, layer, kvHead, pages, index), (index - start) * this.headDim)
    }
    return rows
  }

  protected copy(from: number, to: number): void {
    this.plan?.copyPage(from, to)
    for (let layer = 0; layer < this.numLayers; layer++) {
      this.#tiles.put(this.tileNumber(layer, to), this.#tiles.get(this.tileNumber(layer, from)).slice())
    }
  }

  protected tierCounts(): TierCounts {
    return (this.plan as TierPlan).counts()
  }

  protected free(): void {
    this.#tiles.close()
  }

  private stored(row: Float32Array): ArrayLike<number> {
    if (this.type === 'f32') return row
    return this.tier?.lowerType === 'q8' ? roundToInt8Row(row) : row.map(roundToHalf)
  }

  private tileNumber(layer: number, page: number): number {
    return layer * this.capacityPages + page
  }

  private rowStart(part: 'keys' | 'values', kvHead: number, offset: number): number {
    return ((kvHead * 2 + (part === 'keys' ? 0 : 1)) * pageTokens + offset) * this.headDim
  }
}
