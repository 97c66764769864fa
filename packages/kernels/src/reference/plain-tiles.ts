import { closeSync, constants, fstatSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { TierError } from '../errors.ts'

/** Rows of one page and layer as float32 [kvHead][K|V][16][headDim], by number; zeros where nothing was put. */
export interface Tiles {
  get(number: number): Float32Array
  put(number: number, tile: Float32Array): void
  close(): void
}

export class MemoryTiles implements Tiles {
  readonly #tiles = new Map<number, Float32Array>()
  readonly #length: number

  constructor(length: number) {
    this.#length = length
  }

  get(number: number): Float32Array {
    return this.#tiles.get(number) ?? new Float32Array(this.#length)
  }

  put(number: number, tile: Float32Array): void {
    this.#tiles.set(number, tile)
  }

  close(): void {
    this.#tiles.clear()
  }
}

/** Every tile is written to the file when it is put and read from it when it is asked for, with a checksum kept in memory. */
export class FileTiles implements Tiles {
  readonly #path: string
  readonly #length: number
  readonly #file: number
  readonly #sums = new Map<number, number>()

  constructor(path: string, length: number) {
    this.#path = path
    this.#length = length
    this.#file = this.#try('', 'a path where a new file can be made', () =>
      openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600),
    )
  }

  get(number: number): Float32Array {
    const tile = new Float32Array(this.#length)
    const sum = this.#sums.get(number)
    if (sum === undefined) return tile
    const bytes = new Uint8Array(tile.buffer)
    const piece = `, tile ${number}`
    const read = this.#try(piece, 'a readable file', () => {
      if (fstatSync(this.#file).nlink === 0) throw this.#failure(piece, 'a file that is still there', 'deleted')
      return readSync(this.#file, bytes, 0, bytes.length, number * bytes.length)
    })
    if (read < bytes.length) throw this.#failure(piece, 'a file as long as it was written', 'cut off')
    if (crc32(bytes) !== sum) {
      throw this.#failure(piece, 'the bytes that were written', 'others: the checksum differs')
    }
    return tile
  }

  put(number: number, tile: Float32Array): void {
    const bytes = new Uint8Array(tile.buffer)
    this.#try(`, tile ${number}`, 'room and the right to write', () =>
      writeSync(this.#file, bytes, 0, bytes.length, number * bytes.length),
    )
    this.#sums.set(number, crc32(bytes))
  }

  close(): void {
    const isThere = fstatSync(this.#file).nlink > 0
    closeSync(this.#file)
    if (isThere) unlinkSync(this.#path)
  }

  #try<T>(piece: string, expected: string, call: () => T): T {
    try {
      return call()
    } catch (error) {
      if (error instanceof TierError) throw error
      throw this.#failure(piece, expected, (error as Error).message)
    }
  }

  #failure(piece: string, expected: string, got: string): TierError {
    return new TierError({ parameter: `tier file ${this.#path}${piece}`, expected, got })
  }
}
