import { type FileHandle, open } from 'node:fs/promises'
import { checkInteger, DisposedError, OptionError } from '@kvasir/core'
import { GgufError } from './gguf-error.ts'
import { type GgufHeader, type GgufValue, readHeader } from './header.ts'
import { readFully, SlabReader } from './slab-reader.ts'
import { buildTensorTable, readAlignment, type TensorInfo } from './tensor-table.ts'

/** An open GGUF file: its whole header in memory, its tensors read by place on demand. */
export interface GgufFile extends AsyncDisposable {
  readonly path: string
  /** 2 or 3. */
  readonly version: number
  /** Bytes; every tensor starts at a multiple of it inside the data section. */
  readonly alignment: number
  readonly metadata: ReadonlyMap<string, GgufValue>
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly fileBytes: number
  /**
   * Reads bytes [byteOffset, byteOffset + byteLength) of a tensor, by default all of it, into the start of `into` or
   * into fresh memory, and returns exactly those bytes. Many reads may be under way at once.
   * Throws GgufError (`unknown-tensor`, `read-failed`), OptionError for a range outside the tensor or an `into` that
   * is too small, DisposedError after `close`.
   */
  readTensor(name: string, into?: Uint8Array, byteOffset?: number, byteLength?: number): Promise<Uint8Array>
  /** Safe to call twice. */
  close(): Promise<void>
}

/**
 * Opens a GGUF v2 or v3 file and checks its whole header: counts and lengths against the bytes that remain before
 * memory is taken, every tensor's place against the file and the other tensors. Throws GgufError.
 */
export async function openGguf(path: string): Promise<GgufFile> {
  const handle = await openHandle(path)
  try {
    const fileBytes = (await handle.stat()).size
    const header = await readHeader(new SlabReader(handle, path, fileBytes))
    const alignment = readAlignment(header, path)
    const tensors = buildTensorTable(header, alignment, path, fileBytes)
    return new OpenGgufFile(handle, path, fileBytes, header, alignment, tensors)
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function openHandle(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r')
  } catch (cause) {
    const detail = { what: 'file', expected: 'a readable GGUF file', got: cause, cause }
    throw new GgufError({ kind: 'open-failed', path, byteOffset: null, ...detail })
  }
}

class OpenGgufFile implements GgufFile {
  readonly path: string
  readonly fileBytes: number
  readonly version: number
  readonly alignment: number
  readonly metadata: ReadonlyMap<string, GgufValue>
  readonly tensors: ReadonlyMap<string, TensorInfo>
  #handle: FileHandle | null

  constructor(
    handle: FileHandle,
    path: string,
    fileBytes: number,
    header: GgufHeader,
    alignment: number,
    tensors: ReadonlyMap<string, TensorInfo>,
  ) {
    this.#handle = handle
    this.path = path
    this.fileBytes = fileBytes
    this.version = header.version
    this.metadata = header.metadata
    this.alignment = alignment
    this.tensors = tensors
  }

  async readTensor(name: string, into?: Uint8Array, byteOffset = 0, byteLength?: number): Promise<Uint8Array> {
    if (this.#handle === null) {
      throw new DisposedError({ parameter: this.path, expected: 'an open file', got: 'a closed one' })
    }
    const tensor = this.tensors.get(name)
    if (tensor === undefined) {
      const detail = { what: `tensor ${name}`, expected: `one of the ${this.tensors.size} tensors`, got: name }
      throw new GgufError({ kind: 'unknown-tensor', path: this.path, byteOffset: null, ...detail })
    }
    checkInteger('byteOffset', byteOffset, 0, tensor.byteLength)
    const length = checkInteger(
      'byteLength',
      byteLength ?? tensor.byteLength - byteOffset,
      0,
      tensor.byteLength - byteOffset,
    )
    if (into !== undefined && into.length < length) {
      throw new OptionError({ parameter: 'into', expected: `at least ${length} bytes`, got: into })
    }
    const target = into === undefined ? new Uint8Array(length) : into.subarray(0, length)
    await readFully(this.#handle, this.path, target, tensor.offset + byteOffset)
    return target
  }

  async close(): Promise<void> {
    const handle = this.#handle
    this.#handle = null
    await handle?.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
