import { IntegrityError, type KvFormat } from '@kvasir/core'
import { markBytes, saltBytes } from './container-cipher.ts'
import { kvBytes, layerBytes } from './donor-format.ts'

/**
 * One donor, one file, no gap, numbers little-endian:
 *
 *   preamble   [64]  magic [8], version u32, sealed u32 (0 | 1), headerBytes u32, numTokens u32, numLayers u32, 0 u32, salt [32]
 *   head body        header, JSON [headerBytes] | token ids, i32 [numTokens] | mark of each layer [numLayers][16]
 *   head mark  [16]  over preamble and head body
 *   layers           [numLayers], each [numKvHeads][keys, values][numTokens][headDim] of the header's type
 *
 * Where a layer lies and how long it is follows from the header; the file ends with the last one.
 */
const version = 1
export const preambleBytes = 64

export const magic = Buffer.from('KVASIRKV', 'latin1')

/** A file is refused where it claims more; each is far above what a model has. */
const most = { headerBytes: 4 << 20, numTokens: 1 << 24, numLayers: 1 << 12, layerBytes: 2 ** 31 - 1 } as const

export interface Preamble {
  readonly sealed: boolean
  readonly headerBytes: number
  readonly numTokens: number
  readonly numLayers: number
  readonly salt: Uint8Array
}

export function encodePreamble({ sealed, headerBytes, numTokens, numLayers, salt }: Preamble): Uint8Array {
  const bytes = new Uint8Array(preambleBytes)
  const view = new DataView(bytes.buffer)
  bytes.set(magic, 0)
  for (const [at, value] of [version, sealed ? 1 : 0, headerBytes, numTokens, numLayers, 0].entries()) {
    view.setUint32(8 + 4 * at, value, true)
  }
  bytes.set(salt, preambleBytes - saltBytes)
  return bytes
}

/** Throws an IntegrityError for another kind of file, another version, and counts that a file of `fileBytes` cannot hold. */
export function decodePreamble(bytes: Uint8Array, fileBytes: number): Preamble {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const number = (at: number) => view.getUint32(8 + 4 * at, true)
  if (!magic.equals(bytes.subarray(0, 8))) {
    throw refusal('magic', magic.toString(), Buffer.from(bytes.subarray(0, 8)).toString('latin1'))
  }
  if (number(0) !== version) throw refusal('version', String(version), number(0))
  if (number(1) > 1) throw refusal('sealed', '0 or 1', number(1))
  if (number(5) !== 0) throw refusal('reserved', '0', number(5))
  const preamble = {
    sealed: number(1) === 1,
    headerBytes: count('headerBytes', number(2)),
    numTokens: count('numTokens', number(3)),
    numLayers: count('numLayers', number(4)),
    salt: bytes.slice(preambleBytes - saltBytes, preambleBytes),
  }
  const headBytes = headBytesOf(preamble)
  if (headBytes > fileBytes) throw refusal('file', `at least ${headBytes} bytes, as the preamble says`, fileBytes)
  return preamble
}

/** Preamble, head body and its mark: where the first layer begins. */
export function headBytesOf({ headerBytes, numTokens, numLayers }: Omit<Preamble, 'sealed' | 'salt'>): number {
  return preambleBytes + headerBytes + 4 * numTokens + markBytes * numLayers + markBytes
}

export interface LayerExtent {
  /** From the start of the file. */
  readonly offset: number
  readonly bytes: number
}

/** Throws an IntegrityError where the layers of `format` are not those of the preamble, or do not end with the file. */
export function layerExtents(format: KvFormat, preamble: Preamble, fileBytes: number): readonly LayerExtent[] {
  const { layers } = format.shape
  if (layers.length !== preamble.numLayers) {
    throw refusal('numLayers', `${layers.length}, as in the header`, preamble.numLayers)
  }
  let offset = headBytesOf(preamble)
  const extents = layers.map((layer, index) => {
    const bytes = layerBytes(layer, format.type, preamble.numTokens)
    if (!(bytes <= most.layerBytes)) throw refusal(`layers[${index}]`, `at most ${most.layerBytes} bytes`, bytes)
    offset += bytes
    return { offset: offset - bytes, bytes }
  })
  if (offset !== fileBytes) throw refusal('file', `${offset} bytes, as the header says`, fileBytes)
  return extents
}

/** Bytes of the whole file. */
export function containerBytes(format: KvFormat, headerBytes: number, numTokens: number): number {
  const numLayers = format.shape.layers.length
  return headBytesOf({ headerBytes, numTokens, numLayers }) + kvBytes(format, numTokens)
}

/** False where a file of these counts would be refused. */
export function fitsContainer(format: KvFormat, headerBytes: number, numTokens: number): boolean {
  const { layers } = format.shape
  return (
    headerBytes <= most.headerBytes &&
    numTokens >= 1 &&
    numTokens <= most.numTokens &&
    layers.length <= most.numLayers &&
    layers.every((layer) => layerBytes(layer, format.type, numTokens) <= most.layerBytes)
  )
}

function count(name: 'headerBytes' | 'numTokens' | 'numLayers', value: number): number {
  if (value >= 1 && value <= most[name]) return value
  throw refusal(name, `1 to ${most[name]}`, value)
}

function refusal(parameter: string, expected: string, got: unknown): IntegrityError {
  return new IntegrityError({ parameter, expected, got })
}
