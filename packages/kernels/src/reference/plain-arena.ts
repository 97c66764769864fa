import { pageTokens } from '@kvasir/core'
import { PageArena } from '../page-arena.ts'
import { roundToHalf } from './float16.ts'

/** KV pages as plain float32 arrays, made when first written; values are rounded as an f16 arena would. */
export class PlainArena extends PageArena {
  #pages = new Map<number, Float32Array>()

  /** Where row `offset` of a page's (layer, KV head, part) begins: the canonical layout. */
  private rowStart(part: 'keys' | 'values', layer: number, kvHead: number, offset: number): number {
    const tile = ((layer * this.numKvHeads + kvHead) * 2 + (part === 'keys' ? 0 : 1)) * pageTokens
    return (tile + offset) * this.headDim
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
    const page = this.pageOf(Math.floor(slot / pageTokens))
    const start = this.rowStart(part, layer, kvHead, slot % pageTokens)
    for (let c = 0; c < this.headDim; c++) {
      const value = values[at + c] as number
      page[start + c] = this.type === 'f16' ? roundToHalf(value) : value
    }
  }

  /** The row of KV index `index` [headDim]; not a copy. */
  row(part: 'keys' | 'values', layer: number, kvHead: number, pages: Int32Array, index: number): Float32Array {
    const page = this.pageOf(pages[Math.floor(index / pageTokens)] as number)
    const start = this.rowStart(part, layer, kvHead, index % pageTokens)
    return page.subarray(start, start + this.headDim)
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
    this.pageOf(to).set(this.pageOf(from))
  }

  protected free(): void {
    this.#pages.clear()
  }

  private pageOf(page: number): Float32Array {
    let values = this.#pages.get(page)
    if (values === undefined) {
      values = new Float32Array(this.numLayers * this.numKvHeads * 2 * pageTokens * this.headDim)
      this.#pages.set(page, values)
    }
    return values
  }
}
