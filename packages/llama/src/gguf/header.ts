import type { SlabReader } from './slab-reader.ts'

/** A metadata array: strings, booleans, or the typed array of the file's element type. */
type GgufArray =
  | readonly string[]
  | readonly boolean[]
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array

/** A metadata value. 64-bit integers are numbers where a number is exact, else bigints. */
export type GgufValue = number | bigint | boolean | string | GgufArray

/** A tensor as the file declares it, not yet checked against the data section. */
export interface DeclaredTensor {
  readonly name: string
  readonly dimensions: readonly (number | bigint)[]
  readonly typeId: number
  /** From the start of the data section. */
  readonly dataOffset: number | bigint
  /** Where in the header this declaration starts, bytes. */
  readonly declaredAt: number
}

export interface GgufHeader {
  readonly version: number
  readonly metadata: ReadonlyMap<string, GgufValue>
  readonly tensors: readonly DeclaredTensor[]
  /** First byte after the last declaration. */
  readonly headerBytes: number
}

const MAGIC = 'GGUF'
const MAX_ENTRIES = 65_536
const MAX_NAME_BYTES = 65_535
const MAX_ARRAY_ELEMENTS = 1 << 20
const MAX_DIMENSIONS = 4
/** Smallest declarations: key = length + 1 byte + type + 1 byte; tensor = length + 1 byte + count + 1 dimension + type + offset. */
const MIN_KEY_BYTES = 14
const MIN_TENSOR_BYTES = 33

const STRING = 8
const ARRAY = 9
const BOOLEAN = 7

interface NumberType {
  readonly bytes: number
  readonly view: (buffer: ArrayBuffer) => Exclude<GgufArray, readonly string[] | readonly boolean[]>
}

const NUMBER_TYPES: ReadonlyMap<number, NumberType> = new Map<number, NumberType>([
  [0, { bytes: 1, view: (buffer) => new Uint8Array(buffer) }],
  [1, { bytes: 1, view: (buffer) => new Int8Array(buffer) }],
  [2, { bytes: 2, view: (buffer) => new Uint16Array(buffer) }],
  [3, { bytes: 2, view: (buffer) => new Int16Array(buffer) }],
  [4, { bytes: 4, view: (buffer) => new Uint32Array(buffer) }],
  [5, { bytes: 4, view: (buffer) => new Int32Array(buffer) }],
  [6, { bytes: 4, view: (buffer) => new Float32Array(buffer) }],
  [10, { bytes: 8, view: (buffer) => new BigUint64Array(buffer) }],
  [11, { bytes: 8, view: (buffer) => new BigInt64Array(buffer) }],
  [12, { bytes: 8, view: (buffer) => new Float64Array(buffer) }],
])

/** Reads a GGUF v2 or v3 header. Throws GgufError at the first field that cannot be right. */
export async function readHeader(reader: SlabReader): Promise<GgufHeader> {
  const version = await readVersion(reader)
  await reader.fill(16, 'tensor and key counts')
  const numTensors = checkCount(reader, 'tensor-count', 'number of tensors', MIN_TENSOR_BYTES)
  const numKeys = checkCount(reader, 'key-count', 'number of metadata keys', MIN_KEY_BYTES)

  const metadata = new Map<string, GgufValue>()
  for (let i = 0; i < numKeys; i++) {
    const key = await readName(reader, `name of metadata key ${i}`)
    if (metadata.has(key)) reader.fail('duplicate-key', `metadata key ${key}`, 'each key once', 'a second one')
    metadata.set(key, await readValue(reader, `metadata value ${key}`))
  }
  const tensors: DeclaredTensor[] = []
  for (let i = 0; i < numTensors; i++) tensors.push(await readTensorDeclaration(reader, i))
  return { version, metadata, tensors, headerBytes: reader.position }
}

async function readVersion(reader: SlabReader): Promise<number> {
  if (reader.fileBytes === 0) reader.fail('empty-file', 'file', 'a GGUF file', 'zero bytes')
  await reader.fill(8, 'magic and version')
  const magic = reader.text(4)
  if (magic !== MAGIC) reader.fail('bad-magic', 'magic', MAGIC, magic, 'This is not a GGUF file.')
  const version = reader.u32()
  if (version !== 2 && version !== 3) {
    const bigEndian = version !== 0 && version % 2 ** 24 === 0
    const remedy = bigEndian ? 'The file is big-endian: convert it for a little-endian machine.' : undefined
    reader.fail('unsupported-version', 'version', '2 or 3', version, remedy)
  }
  return version
}

function checkCount(reader: SlabReader, kind: 'tensor-count' | 'key-count', what: string, minBytes: number): number {
  return checkFits(reader, kind, what, reader.u64(), MAX_ENTRIES, minBytes)
}

/** `count` as a number if it is at most `max` and that many things of at least `minBytes` each can still follow. */
function checkFits(
  reader: SlabReader,
  kind: 'tensor-count' | 'key-count' | 'array-length',
  what: string,
  count: number | bigint,
  max: number,
  minBytes: number,
): number {
  if (count > max) reader.fail(kind, what, `at most ${max}`, count)
  const room = Math.floor(reader.remaining / minBytes)
  if (count > room) reader.failCutOff(what, `at most ${room}, all that ${reader.remaining} more bytes can hold`, count)
  return Number(count)
}

async function readString(reader: SlabReader, what: string): Promise<string> {
  if (!reader.has(8)) await reader.fill(8, what)
  const bytes = reader.stringLength(what)
  if (!reader.has(bytes)) await reader.fill(bytes, what)
  return reader.text(bytes)
}

async function readName(reader: SlabReader, what: string): Promise<string> {
  const name = await readString(reader, what)
  if (name === '' || name.length > MAX_NAME_BYTES || name.includes('\uFFFD')) {
    reader.fail('bad-name', what, `1 to ${MAX_NAME_BYTES} bytes of UTF-8`, name)
  }
  return name
}

async function readValue(reader: SlabReader, what: string): Promise<GgufValue> {
  if (!reader.has(4)) await reader.fill(4, what)
  const type = reader.u32()
  if (type === STRING) return readString(reader, what)
  if (type === ARRAY) return readArray(reader, what)
  const size = checkValueType(reader, type, what)
  if (!reader.has(size)) await reader.fill(size, what)
  if (type === BOOLEAN) return readBoolean(reader, what)
  const value = (NUMBER_TYPES.get(type) as NumberType).view(reader.bytes(size))[0]
  return typeof value === 'bigint' && BigInt(Number(value)) === value && Number.isSafeInteger(Number(value))
    ? Number(value)
    : value
}

async function readArray(reader: SlabReader, what: string): Promise<GgufArray> {
  if (!reader.has(12)) await reader.fill(12, what)
  const type = reader.u32()
  if (type === ARRAY) reader.fail('nested-array', what, 'an array of plain values', 'an array of arrays')
  const minBytes = type === STRING ? 8 : checkValueType(reader, type, what)
  const count = checkFits(reader, 'array-length', what, reader.u64(), MAX_ARRAY_ELEMENTS, minBytes)
  if (type === STRING) return readStrings(reader, count, what)
  if (!reader.has(count * minBytes)) await reader.fill(count * minBytes, what)
  if (type === BOOLEAN) return Array.from({ length: count }, () => readBoolean(reader, what))
  return (NUMBER_TYPES.get(type) as NumberType).view(reader.bytes(count * minBytes))
}

async function readStrings(reader: SlabReader, count: number, what: string): Promise<string[]> {
  // The whole array at once: growing it by and by would leave twice its size in garbage.
  const strings = new Array<string>(count)
  for (let i = 0; i < count; i++) {
    if (!reader.has(8)) await reader.fill(8, what)
    const bytes = reader.stringLength(what)
    if (!reader.has(bytes)) await reader.fill(bytes, what)
    strings[i] = reader.text(bytes)
  }
  return strings
}

/** Bytes of one plain value; throws where the type is unknown. */
function checkValueType(reader: SlabReader, type: number, what: string): number {
  if (type === BOOLEAN) return 1
  const known = NUMBER_TYPES.get(type)
  if (known === undefined) return reader.fail('unknown-value-type', what, 'a value type from 0 to 12', type)
  return known.bytes
}

function readBoolean(reader: SlabReader, what: string): boolean {
  const byte = reader.u8()
  if (byte > 1) reader.fail('bad-boolean', what, '0 or 1', byte)
  return byte === 1
}

async function readTensorDeclaration(reader: SlabReader, index: number): Promise<DeclaredTensor> {
  const declaredAt = reader.position
  const name = await readName(reader, `name of tensor ${index}`)
  const what = `tensor ${name}`
  if (!reader.has(4)) await reader.fill(4, what)
  const count = reader.u32()
  if (count < 1 || count > MAX_DIMENSIONS) {
    reader.fail('dimension-count', what, `1 to ${MAX_DIMENSIONS} dimensions`, count)
  }
  const rest = count * 8 + 12
  if (!reader.has(rest)) await reader.fill(rest, what)
  const dimensions = Array.from({ length: count }, () => reader.u64())
  return { name, dimensions, typeId: reader.u32(), dataOffset: reader.u64(), declaredAt }
}
