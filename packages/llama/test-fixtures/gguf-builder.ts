/** Value types by their number in the file. */
export const TYPE = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
}

export function u8(value: number): Buffer {
  return Buffer.from([value])
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

export function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
}

export function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([u64(bytes.length), bytes])
}

/** A metadata entry whose payload is given as bytes. */
export function entry(key: string, type: number, ...payload: Buffer[]): Buffer {
  return Buffer.concat([text(key), u32(type)].concat(payload))
}

export interface TensorDeclaration {
  readonly name: string
  readonly dimensions: readonly (number | bigint)[]
  readonly typeId: number
  readonly offset: number | bigint
}

/** A whole file: header, declarations, and `dataBytes` zero bytes of data after padding to 32. */
export function buildGguf(
  entries: readonly Buffer[],
  tensors: readonly TensorDeclaration[] = [],
  dataBytes = 0,
): Buffer {
  const header = Buffer.concat([
    Buffer.from('GGUF'),
    u32(3),
    u64(tensors.length),
    u64(entries.length),
    ...entries,
    ...tensors.map(({ name, dimensions, typeId, offset }) =>
      Buffer.concat([text(name), u32(dimensions.length), ...dimensions.map(u64), u32(typeId), u64(offset)]),
    ),
  ])
  return Buffer.concat([header, Buffer.alloc(Math.ceil(header.length / 32) * 32 - header.length + dataBytes)])
}
