import type { Stats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { IntegrityError, type KvFormat, type Scope } from '@kvasir/core'
import { type ContainerCipher, type FileCipher, markBytes } from './container-cipher.ts'
import { decodeHeader } from './container-header.ts'
import { decodePreamble, headBytesOf, type LayerExtent, layerExtents, preambleBytes } from './container-layout.ts'
import { type FileCalls, readFlags } from './donor-files.ts'

/** A container that is open for reading. Its head has been checked; each layer is checked as it is read. */
export interface DonorReader {
  readonly id: string
  readonly scope: Scope
  readonly format: KvFormat
  readonly tokens: Int32Array
  readonly sealed: boolean
  readonly fileBytes: number
  /** When it was last used. */
  readonly usedAtMs: number
  readonly layers: readonly LayerExtent[]
  /** One contiguous read into memory of its own. Throws an IntegrityError. */
  read(layer: number, signal?: AbortSignal): Promise<Uint8Array>
  /** Says that it was used, for the order of a later start. */
  touch(): Promise<void>
  close(): Promise<void>
}

/** Throws an IntegrityError that says which field is wrong and why, and what the system throws where there is no file. */
export async function readDonorFile(files: FileCalls, cipher: ContainerCipher, path: string): Promise<DonorReader> {
  const file = await files.open(path, readFlags)
  try {
    const stat = await file.stat()
    if (!stat.isFile()) throw refusal('file', 'a regular file', path)
    return await readHead(file, stat, cipher)
  } catch (error) {
    await file.close().catch(() => {})
    throw error
  }
}

async function readHead(file: FileHandle, stat: Stats, cipher: ContainerCipher): Promise<DonorReader> {
  const fileBytes = stat.size
  if (fileBytes < preambleBytes) throw refusal('file', `at least ${preambleBytes} bytes`, fileBytes)
  const start = await readExactly(file, 0, preambleBytes)
  const preamble = decodePreamble(start, fileBytes)
  const { sealed, headerBytes, numTokens, numLayers, salt } = preamble
  if (sealed !== cipher.sealed) {
    throw refusal('sealed', cipher.sealed ? 'a file sealed with the key' : 'a file without a key', sealed)
  }
  const rest = await readExactly(file, preambleBytes, headBytesOf(preamble) - preambleBytes)
  const own = cipher.forFile(salt)
  const bodyBytes = rest.length - markBytes
  const body = await own.open({ number: 0, binding: start }, rest.subarray(0, bodyBytes), rest.subarray(bodyBytes))
  if (body === null)
    throw refusal('head', sealed ? 'the head that was sealed with this key' : 'the head of its mark', 'another')
  const header = decodeHeader(body.subarray(0, headerBytes))
  const layers = layerExtents(header.format, preamble, fileBytes)
  const parts: LayerParts = {
    file,
    cipher: own,
    layers,
    binding: body.slice(0, headerBytes),
    marks: body.slice(bodyBytes - numLayers * markBytes),
  }
  return {
    ...header,
    tokens: new Int32Array(body.slice(headerBytes, headerBytes + 4 * numTokens).buffer),
    sealed,
    fileBytes,
    usedAtMs: stat.mtimeMs,
    layers,
    read: (layer, signal) => readLayer(parts, layer, signal),
    touch: () => file.utimes(new Date(), new Date()),
    close: () => file.close(),
  }
}

interface LayerParts {
  readonly file: FileHandle
  readonly cipher: FileCipher
  readonly layers: readonly LayerExtent[]
  readonly binding: Uint8Array
  readonly marks: Uint8Array
}

async function readLayer(parts: LayerParts, layer: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const { file, cipher, layers, binding, marks } = parts
  const { offset, bytes } = layers[layer]!
  const stored = await readExactly(file, offset, bytes, signal)
  const mark = marks.subarray(layer * markBytes, (layer + 1) * markBytes)
  const opened = await cipher.open({ number: layer + 1, binding }, stored, mark, signal)
  if (opened !== null) return opened
  throw refusal(`layers[${layer}]`, 'the bytes of its mark', 'others')
}

/** Throws an IntegrityError where the file ends before, or the disk fails. */
async function readExactly(file: FileHandle, offset: number, bytes: number, signal?: AbortSignal): Promise<Uint8Array> {
  const into = new Uint8Array(bytes)
  for (let at = 0; at < bytes; ) {
    signal?.throwIfAborted()
    const { bytesRead } = await file.read(into, at, bytes - at, offset + at).catch((cause: unknown) => {
      throw new IntegrityError({ parameter: 'file', expected: 'bytes that can be read', got: cause, cause })
    })
    if (bytesRead === 0) throw refusal('file', `${offset + bytes} bytes`, `${offset + at}`)
    at += bytesRead
  }
  return into
}

function refusal(parameter: string, expected: string, got: unknown): IntegrityError {
  return new IntegrityError({ parameter, expected, got })
}
