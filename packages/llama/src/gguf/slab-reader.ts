import type { FileHandle } from 'node:fs/promises'
import { GgufError, type GgufErrorKind } from './gguf-error.ts'

/** Bytes read at a time. Large enough that the header of a 49k-token model takes two reads. */
const SLAB_BYTES = 1 << 20

/** Longest string that is believed; real chat templates stay below 1 MB. Slab and string together stay below 16 MB. */
const MAX_STRING_BYTES = 6 << 20

/** Longest header that is believed. */
const MAX_HEADER_BYTES = 100_000_000

/**
 * Reads the little-endian header of a file in large slabs and hands out its fields from memory.
 * No length of the file is trusted: `fill` compares it with the bytes that remain before any memory is taken.
 * A field is read in two steps, `if (!has(n)) await fill(n, what)` and then the synchronous getter, so that
 * a hundred thousand strings do not cost a hundred thousand promises.
 */
export class SlabReader {
  readonly path: string
  readonly fileBytes: number
  readonly #handle: FileHandle
  #memory = Buffer.alloc(0)
  /** The part of the memory that holds bytes of the file. */
  #slab = this.#memory
  /** Place of slab[0] in the file. */
  #slabStart = 0
  /** Place of the next field inside the slab. */
  #cursor = 0
  /** Place in the file of the field that was read last: where `fail` points. */
  #fieldStart = 0

  constructor(handle: FileHandle, path: string, fileBytes: number) {
    this.#handle = handle
    this.path = path
    this.fileBytes = fileBytes
  }

  /** Place of the next field in the file, bytes. */
  get position(): number {
    return this.#slabStart + this.#cursor
  }

  /** Bytes from the next field to where the header must have ended. */
  get remaining(): number {
    return Math.min(this.fileBytes, MAX_HEADER_BYTES) - this.position
  }

  has(bytes: number): boolean {
    return this.#cursor + bytes <= this.#slab.length
  }

  /** Makes the next `bytes` bytes readable. Throws GgufError where the file has fewer. */
  async fill(bytes: number, what: string): Promise<void> {
    this.#fieldStart = this.position
    if (bytes > this.remaining) this.failCutOff(what, `${bytes} more bytes`, this.remaining)
    const tail = this.#slab.subarray(this.#cursor)
    const start = this.position
    const length = Math.min(Math.max(SLAB_BYTES, bytes), this.fileBytes - start)
    if (this.#memory.length < length) this.#memory = Buffer.alloc(length)
    const slab = this.#memory.subarray(0, length)
    // Within one memory the tail moves down over itself, which copy allows.
    tail.copy(slab)
    await readFully(this.#handle, this.path, slab.subarray(tail.length), start + tail.length)
    this.#slab = slab
    this.#slabStart = start
    this.#cursor = 0
  }

  /** Throws, pointing at the field that was read last. */
  fail(kind: GgufErrorKind, what: string, expected: string, got: unknown, remedy?: string): never {
    throw new GgufError({
      kind,
      path: this.path,
      byteOffset: this.#fieldStart,
      what,
      expected,
      got,
      ...(remedy === undefined ? {} : { remedy }),
    })
  }

  /** Throws because the header does not go on for as long as it claims. */
  failCutOff(what: string, expected: string, got: unknown): never {
    if (this.fileBytes > MAX_HEADER_BYTES) {
      this.fail('header-too-large', what, `${expected} (headers end before byte ${MAX_HEADER_BYTES})`, got)
    }
    this.fail('truncated-header', what, expected, got, 'The file is cut off: download or copy it again.')
  }

  u8(): number {
    return this.#slab.readUInt8(this.#advance(1))
  }

  u32(): number {
    return this.#slab.readUInt32LE(this.#advance(4))
  }

  /** A number while that is exact, else a bigint. */
  u64(): number | bigint {
    const at = this.#advance(8)
    const value = this.#slab.readUInt32LE(at) + this.#slab.readUInt32LE(at + 4) * 2 ** 32
    return value <= Number.MAX_SAFE_INTEGER ? value : this.#slab.readBigUInt64LE(at)
  }

  /** A copy of the next `bytes` bytes, aligned for any typed array. */
  bytes(bytes: number): ArrayBuffer {
    const at = this.#advance(bytes)
    return new Uint8Array(this.#slab.subarray(at, at + bytes)).buffer
  }

  /** The length of a string, checked against what the file still holds. Needs 8 bytes. */
  stringLength(what: string): number {
    const length = this.u64()
    if (length > MAX_STRING_BYTES) this.fail('string-length', what, `at most ${MAX_STRING_BYTES} bytes`, length)
    if (length > this.remaining) this.failCutOff(what, `a string within the ${this.remaining} bytes left`, length)
    return Number(length)
  }

  /** The next `bytes` bytes as UTF-8; invalid bytes become U+FFFD. */
  text(bytes: number): string {
    const at = this.#advance(bytes)
    return this.#slab.toString('utf8', at, at + bytes)
  }

  #advance(bytes: number): number {
    const at = this.#cursor
    this.#fieldStart = this.position
    this.#cursor += bytes
    return at
  }
}

/** Fills `target` from `position`; a file that ends earlier than its own size said is an error, never a short result. */
export async function readFully(handle: FileHandle, path: string, target: Uint8Array, position: number): Promise<void> {
  let done = 0
  while (done < target.length) {
    const length = Math.min(target.length - done, 1 << 30)
    let bytesRead: number
    try {
      ;({ bytesRead } = await handle.read(target, done, length, position + done))
    } catch (cause) {
      const byteOffset = position + done
      throw new GgufError({
        kind: 'read-failed',
        path,
        byteOffset,
        what: 'data',
        expected: 'a readable file',
        got: cause,
        cause,
      })
    }
    if (bytesRead === 0) {
      throw new GgufError({
        kind: 'read-failed',
        path,
        byteOffset: position + done,
        what: 'data',
        expected: `${target.length - done} more bytes`,
        got: 'the end of the file',
        remedy: 'The file became shorter while it was being read.',
      })
    }
    done += bytesRead
  }
}
