import { pageTokens } from '@kvasir/core'
import { TierError } from '../errors.ts'
import type { ResolvedTierOptions, TierCounts } from '../tier-options.ts'
import { SlotCache, slotBytes, slotsWithin } from './slot-cache.ts'

/** Rows [row, row + count) of a physical page that one list of a KV head names. */
export interface ListedRun {
  readonly page: number
  readonly kvHead: number
  readonly row: number
  readonly count: number
}

export interface TierPlanShape {
  readonly numLayers: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly tier: ResolvedTierOptions
  /**
   * A GPU gives slots to rows when they are read, not when they are written; its blocks move whole; and it reads what is hot
   * from slots even where a step wants more than they hold. @default 'cpu'
   */
  readonly backend?: 'cpu' | 'cuda'
}

const allRows = 0xffff

/** Which rows of a tiered arena are hot, and what moves: the bookkeeping without the rows. Nothing is fetched ahead here. */
export class TierPlan {
  readonly #shape: TierPlanShape
  readonly #layers: LayerPlan[]
  readonly #slots: number

  constructor(shape: TierPlanShape) {
    const { numLayers, tier } = shape
    this.#shape = shape
    this.#slots = slotsWithin(this.#slotShape, tier.hotBytes / numLayers)
    if (this.#slots === 0) {
      const least = slotBytes(this.#slotShape, 1) * numLayers
      throw new TierError({ parameter: 'hotBytes', expected: `at least ${least}, a slot a layer`, got: tier.hotBytes })
    }
    this.#layers = Array.from({ length: numLayers }, () => new LayerPlan(shape, this.#slots))
  }

  /** Rows were written: they are hot, those of pages written whole only where nothing goes that was used again. */
  write(layer: number, slots: Iterable<number>): void {
    const touched = new Map<number, number>()
    for (const slot of slots) {
      const page = Math.floor(slot / pageTokens)
      touched.set(page, (touched.get(page) ?? 0) | (1 << (slot % pageTokens)))
    }
    for (const [page, rows] of touched) this.#layers[layer]?.written(page, rows)
  }

  /** A step's lists are about to be read: one array of runs a sequence. */
  read(layer: number, sequences: readonly (readonly ListedRun[])[]): void {
    this.#layers[layer]?.read(sequences)
  }

  copyPage(from: number, to: number): void {
    if (from === to) return
    for (const layer of this.#layers) layer.copied(from, to)
  }

  /** [kvHead, page] or [kvHead, page, row] of what is hot in a layer. */
  hotUnits(layer: number): readonly (readonly number[])[] {
    return this.#layers[layer]?.hotUnits() ?? []
  }

  counts(): TierCounts {
    const { numLayers, numKvHeads, headDim, tier } = this.#shape
    const sum = (of: (layer: LayerPlan) => number) => this.#layers.reduce((total, layer) => total + of(layer), 0)
    const rowBytes = tier.lowerType === 'f16' ? 2 * headDim : headDim + 4
    return {
      hotBytes: slotBytes(this.#slotShape, this.#slots) * numLayers,
      stagingBytes: 0,
      peakStagingBytes: 0,
      lowerBytes: sum((layer) => layer.held.size) * numKvHeads * 2 * pageTokens * rowBytes,
      tableBytes: 0,
      movedRows: sum((layer) => layer.movedRows),
      movedBytes: sum((layer) => layer.movedRows) * 2 * rowBytes,
      hits: sum((layer) => layer.hits),
      misses: sum((layer) => layer.misses),
      prefetched: 0,
      prefetchHits: 0,
      waits: 0,
      waitMs: 0,
      dropped: 0,
      overflows: sum((layer) => layer.overflows),
    }
  }

  get #slotShape() {
    return { headDim: this.#shape.headDim, unit: this.#shape.tier.unit }
  }
}

/** A slot's key and, for a block, the rows of it that have come up, a bit each. */
class LayerPlan {
  readonly held = new Map<number, number>()
  movedRows = 0
  hits = 0
  misses = 0
  overflows = 0
  readonly #shape: TierPlanShape
  readonly #isGpu: boolean
  readonly #cache: SlotCache
  readonly #valid = new Map<string, number>()

  constructor(shape: TierPlanShape, slots: number) {
    this.#shape = shape
    this.#isGpu = shape.backend === 'cuda'
    this.#cache = new SlotCache(slots)
  }

  hotUnits(): number[][] {
    return this.#cache.keys().map((key) => key.split(' ').map(Number))
  }

  written(page: number, rows: number): void {
    this.held.set(page, (this.held.get(page) ?? 0) | rows)
    if (this.#isGpu) return
    const isPrompt = rows === allRows
    for (let kvHead = 0; kvHead < this.#shape.numKvHeads; kvHead++) {
      for (const [key, bits] of this.#unitsOf(page, kvHead, rows)) {
        if (this.#cache.peek(key) < 0) {
          this.#cache.beginStep()
          if (!this.#take(key, isPrompt)) continue
        }
        this.#valid.set(key, (this.#valid.get(key) ?? 0) | bits)
      }
    }
  }

  copied(from: number, to: number): void {
    this.#forget(to)
    this.held.set(to, this.held.get(from) ?? 0)
  }

  read(sequences: readonly (readonly ListedRun[])[]): void {
    this.#cache.beginStep()
    const needs: (readonly [string, number, number])[] = []
    let passedBy = 0
    for (const runs of sequences) {
      const units = pageRuns(runs).flatMap(({ page, kvHead, rows }) =>
        this.#unitsOf(page, kvHead, rows).map(([key, bits]) => [key, bits, page] as const),
      )
      // More than there are slots would push out all that the next step wants.
      if (units.length > this.#cache.size) {
        for (const [key, bits] of units) {
          if (this.#isGpu && this.#cache.find(key) >= 0) this.hits++
          else passedBy += countBits(bits)
        }
        continue
      }
      for (const unit of units) {
        const isFound = this.#cache.find(unit[0]) >= 0
        const isHot = isFound && (this.#isGpu || (unit[1] & ~(this.#valid.get(unit[0]) ?? 0)) === 0)
        if (isHot) this.hits++
        else {
          this.misses++
          needs.push(unit)
        }
      }
    }
    for (const [key, bits, page] of needs) {
      if (this.#isGpu && this.#cache.peek(key) >= 0) continue
      if (this.#cache.peek(key) >= 0 || this.#take(key)) this.#bring(key, bits, page)
      else passedBy += countBits(bits)
    }
    this.movedRows += passedBy
    if (passedBy > 0) this.overflows++
  }

  /** All rows that are held of a unit come up with the ones that are wanted. */
  #bring(key: string, wanted: number, page: number): void {
    const all = this.#shape.tier.unit === 'block' ? allRows : wanted
    const before = this.#valid.get(key) ?? 0
    const moved = this.#isGpu ? all : all & (this.held.get(page) ?? 0) & ~before
    this.movedRows += countBits(moved)
    this.#valid.set(key, before | moved | wanted)
  }

  #take(key: string, isGentle = false): boolean {
    const before = new Set(this.#cache.keys())
    if ((isGentle ? this.#cache.takeGently(key) : this.#cache.take(key)) < 0) return false
    for (const gone of before) if (this.#cache.peek(gone) < 0) this.#valid.delete(gone)
    return true
  }

  #forget(page: number): void {
    for (let kvHead = 0; kvHead < this.#shape.numKvHeads; kvHead++) {
      for (const [key] of this.#unitsOf(page, kvHead, allRows)) {
        this.#cache.drop(key)
        this.#valid.delete(key)
      }
    }
  }

  /** The units that hold these rows, each with its own of them. */
  #unitsOf(page: number, kvHead: number, rows: number): (readonly [string, number])[] {
    if (this.#shape.tier.unit === 'block') return [[`${kvHead} ${page}`, rows]]
    const units: (readonly [string, number])[] = []
    for (let row = 0; row < pageTokens; row++) {
      if ((rows >> row) & 1) units.push([`${kvHead} ${page} ${row}`, 1 << row])
    }
    return units
  }
}

/** Runs of one page that follow each other in a list, as one. */
function pageRuns(runs: readonly ListedRun[]): { page: number; kvHead: number; rows: number }[] {
  const joined: { page: number; kvHead: number; rows: number; end: number }[] = []
  for (const { page, kvHead, row, count } of runs) {
    const rows = ((1 << count) - 1) << row
    const last = joined.at(-1)
    // A row that does not ascend begins another list.
    if (last && last.page === page && last.kvHead === kvHead && row >= last.end) {
      last.rows |= rows
      last.end = row + count
    } else joined.push({ page, kvHead, rows, end: row + count })
  }
  return joined
}

function countBits(bits: number): number {
  let count = 0
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++
  return count
}
