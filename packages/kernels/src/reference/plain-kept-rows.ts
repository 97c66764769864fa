import { indicesOfRow, type RunList, runsOfIndices } from '@kvasir/core'
import { CheckedKeptRows } from '../checked-kept-rows.ts'
import type { ResourceOwner } from '../resource.ts'

/** Which rows of one KV head are kept, of those below an end. */
type Flags = readonly boolean[]

/** Kept rows as plain flags: [numLayers][numKvHeads], each as long as what is known. */
export class PlainKeptRows extends CheckedKeptRows {
  private layers: readonly (readonly Flags[])[]

  constructor(owner: ResourceOwner, numLayers: number, numKvHeads: number, layers?: readonly (readonly Flags[])[]) {
    super(owner, numLayers, numKvHeads)
    this.layers = layers ?? Array.from({ length: numLayers }, () => Array.from({ length: numKvHeads }, () => []))
  }

  /** May attention read this row? */
  keeps(layer: number, kvHead: number, index: number): boolean {
    return this.layers[layer]?.[kvHead]?.[index] ?? true
  }

  /** The list without the rows that are gone; `current` always stays. */
  narrow(layer: number, list: RunList, current: number): RunList {
    const numRows = list.rowStarts.length - 1
    const headsPerKvHead = numRows / this.numKvHeads
    const rows = Array.from({ length: numRows }, (_, row) => {
      const kvHead = Math.floor(row / headsPerKvHead)
      return indicesOfRow(list, row).filter((index) => index === current || this.keeps(layer, kvHead, index))
    })
    return runsOfIndices(rows)
  }

  protected drop(layer: number, list: RunList, endTokens: number): void {
    const heads = this.layers[layer]!.map((known, kvHead) => {
      const named = new Set(indicesOfRow(list, kvHead))
      const keeps = (index: number) => (index >= endTokens || named.has(index)) && (known[index] ?? true)
      return Array.from({ length: Math.max(known.length, endTokens) }, (_, index) => keeps(index))
    })
    this.layers = this.layers.with(layer, heads)
  }

  protected count(layer: number): number {
    return this.layers[layer]!.reduce((sum, head) => sum + head.filter((keeps) => keeps).length, 0)
  }

  protected copy(): PlainKeptRows {
    return new PlainKeptRows(this.owner, this.numLayers, this.numKvHeads, this.layers)
  }

  protected cut(numTokens: number): void {
    this.layers = this.layers.map((heads) => heads.map((known) => known.slice(0, numTokens)))
  }

  protected free(): void {
    this.layers = []
  }
}
