import { GgufError, type GgufErrorKind } from './gguf-error.ts'
import type { DeclaredTensor, GgufHeader } from './header.ts'
import { REMOVED_TENSOR_TYPES, TENSOR_TYPES, type TensorTypeName, tensorTypeName } from './tensor-types.ts'

/** A tensor of the file, checked: its bytes lie inside the file and overlap no other tensor's. */
export interface TensorInfo {
  readonly name: string
  readonly type: TensorTypeName
  /** GGUF order, fastest dimension first: a matrix is [columns, rows], a vector [length]. 1 to 4 dimensions, each >= 1. */
  readonly shape: readonly number[]
  /** First byte in the file. */
  readonly offset: number
  readonly byteLength: number
}

/** Values that lie next to each other: the length of a row. */
export function tensorColumns(tensor: TensorInfo): number {
  return tensor.shape[0]
}

/** Number of rows: the product of all dimensions but the first. */
export function tensorRows(tensor: TensorInfo): number {
  return tensor.shape.slice(1).reduce((rows, dimension) => rows * dimension, 1)
}

const DEFAULT_ALIGNMENT = 32
const MAX_ALIGNMENT = 65_536

/** `general.alignment` of the file, a power of two of at most 64 KiB. */
export function readAlignment(header: GgufHeader, path: string): number {
  const value = header.metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT
  if (typeof value === 'number' && Number.isInteger(Math.log2(value)) && value >= 1 && value <= MAX_ALIGNMENT)
    return value
  throw new GgufError({
    kind: 'bad-alignment',
    path,
    byteOffset: null,
    what: 'general.alignment',
    expected: `a power of two of at most ${MAX_ALIGNMENT}`,
    got: value,
  })
}

/** Checks every declaration against the data section and the other tensors. [name -> place in the file] */
export function buildTensorTable(
  header: GgufHeader,
  alignment: number,
  path: string,
  fileBytes: number,
): ReadonlyMap<string, TensorInfo> {
  const dataStart = Math.ceil(header.headerBytes / alignment) * alignment
  const table = new Map<string, TensorInfo>()
  for (const declared of header.tensors) {
    const fail = failAt(path, declared)
    if (table.has(declared.name)) fail('duplicate-tensor', 'each tensor name once', 'a second one')
    const type = findType(declared, fail)
    const shape = checkShape(declared, type, fail)
    const blocks = shape.reduce((product, dimension) => product * dimension) / TENSOR_TYPES[type].blockSize
    const byteLength = blocks * TENSOR_TYPES[type].bytesPerBlock
    const offset = checkPlace(declared, byteLength, dataStart, alignment, fileBytes, fail)
    table.set(declared.name, { name: declared.name, type, shape, offset, byteLength })
  }
  checkOverlap(table, path)
  return table
}

type Fail = (kind: GgufErrorKind, expected: string, got: unknown, remedy?: string) => never

function failAt(path: string, declared: DeclaredTensor): Fail {
  return (kind, expected, got, remedy) => {
    throw new GgufError({
      kind,
      path,
      byteOffset: declared.declaredAt,
      what: `tensor ${declared.name}`,
      expected,
      got,
      ...(remedy === undefined ? {} : { remedy }),
    })
  }
}

function findType(declared: DeclaredTensor, fail: Fail): TensorTypeName {
  const type = tensorTypeName(declared.typeId)
  if (type !== null) return type
  const removed = REMOVED_TENSOR_TYPES[declared.typeId]
  if (removed === undefined) return fail('unknown-tensor-type', 'a known tensor type', declared.typeId)
  return fail(
    'removed-tensor-type',
    'a tensor type of today',
    `${removed} (${declared.typeId})`,
    'Convert the model again.',
  )
}

function checkShape(declared: DeclaredTensor, type: TensorTypeName, fail: Fail): number[] {
  let elements = 1
  for (const dimension of declared.dimensions) {
    if (dimension === 0) fail('zero-dimension', 'dimensions of at least 1', declared.dimensions)
    // In doubles: a product past 2^53 is refused, so nothing can wrap around.
    elements *= Number(dimension)
    if (elements > Number.MAX_SAFE_INTEGER) fail('tensor-too-large', 'at most 2^53 - 1 values', declared.dimensions)
  }
  const shape = declared.dimensions.map(Number)
  const { blockSize } = TENSOR_TYPES[type]
  if (shape[0] % blockSize !== 0) {
    fail('partial-block', `rows of whole blocks of ${blockSize} values (${type})`, `rows of ${shape[0]}`)
  }
  return shape
}

/** First byte in the file. */
function checkPlace(
  declared: DeclaredTensor,
  byteLength: number,
  dataStart: number,
  alignment: number,
  fileBytes: number,
  fail: Fail,
): number {
  const { dataOffset } = declared
  const dataBytes = Math.max(0, fileBytes - dataStart)
  if (dataBytes === 0) fail('tensor-data-missing', `${byteLength} bytes of data`, 'a file without tensor data')
  if (dataOffset >= dataBytes) fail('tensor-offset', `an offset below ${dataBytes} (the data section)`, dataOffset)
  const offset = Number(dataOffset)
  if (offset % alignment !== 0) fail('tensor-misaligned', `an offset that is a multiple of ${alignment}`, offset)
  if (byteLength > dataBytes - offset) {
    const remedy = 'The file is cut off: download or copy it again.'
    fail('tensor-data-missing', `${byteLength} bytes of data`, dataBytes - offset, remedy)
  }
  return dataStart + offset
}

function checkOverlap(table: ReadonlyMap<string, TensorInfo>, path: string): void {
  const inOrder = [...table.values()].sort((a, b) => a.offset - b.offset)
  for (let i = 1; i < inOrder.length; i++) {
    const before = inOrder[i - 1]
    const tensor = inOrder[i]
    if (before.offset + before.byteLength <= tensor.offset) continue
    throw new GgufError({
      kind: 'tensor-overlap',
      path,
      byteOffset: tensor.offset,
      what: `tensor ${tensor.name}`,
      expected: `data after byte ${before.offset + before.byteLength}, the end of ${before.name}`,
      got: tensor.offset,
    })
  }
}
