import { checkInteger, checkOneOf, ShapeError } from '@kvasir/core'
import type { Weight, WeightType } from './kernels.ts'
import { rowBytes, weightFormats } from './reference/formats/weight-formats.ts'
import { Resource, type ResourceOwner } from './resource.ts'

/** A weight as its backend keeps it. */
export abstract class PackedWeight extends Resource implements Weight {
  readonly type: WeightType
  readonly rows: number
  readonly cols: number
  abstract readonly bytes: number

  constructor(owner: ResourceOwner, type: WeightType, rows: number, cols: number) {
    super(owner)
    this.type = checkOneOf('type', type, Object.keys(weightFormats) as WeightType[])
    this.rows = checkInteger('rows', rows, 0, 2 ** 31 - 1)
    this.cols = checkInteger('cols', cols, 1, 2 ** 31 - 1)
    checkInteger('rows * cols', rows * cols, 0, 1e12)
    const { blockValues } = weightFormats[type]
    if (cols % blockValues === 0) return
    throw new ShapeError({ parameter: 'cols', expected: `a multiple of ${blockValues} for ${type}`, got: cols })
  }
}

/** Rows as they stand in a GGUF file. */
export type ReadRows = (firstRow: number, numRows: number) => Promise<Uint8Array>

const pieceBytes = 1 << 20
const pieceRowsMultiple = 64

/** Reads all rows of a weight in pieces of about 1 MiB that start at multiples of 64 rows. */
export async function readPieces(
  weight: PackedWeight,
  read: ReadRows,
  pack: (firstRow: number, numRows: number, piece: Uint8Array) => Promise<void> | void,
): Promise<void> {
  const bytesOfRow = rowBytes(weight.type, weight.cols)
  const piece = pieceRowsMultiple * Math.max(1, Math.floor(pieceBytes / bytesOfRow / pieceRowsMultiple))
  for (let first = 0; first < weight.rows; first += piece) {
    const count = Math.min(piece, weight.rows - first)
    const bytes = await read(first, count)
    if (!(bytes instanceof Uint8Array) || bytes.length !== count * bytesOfRow) {
      throw new ShapeError({
        parameter: `read(${first}, ${count})`,
        expected: `${count * bytesOfRow} bytes: ${count} rows of ${weight.cols} values as ${weight.type}`,
        got: bytes,
      })
    }
    await pack(first, count, bytes)
  }
}
