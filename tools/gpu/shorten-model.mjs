// node shorten-model.mjs MODEL.gguf OUT.gguf --layers N [--vocabulary N]: the same model with its first layers and tokens alone,
// byte for byte what they were. It says nothing that makes sense, but a GPU and a CPU must agree about it; it travels where the
// whole does not.
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const valueBytes = [1, 1, 2, 2, 4, 4, 4, 1, undefined, undefined, 8, 8, 8]
const [u32Type, stringType, arrayType] = [4, 8, 9]

/**
 * Reads the header of a GGUF file (version 3, little-endian).
 * @param {Buffer} bytes the file, or more of it than its header
 * @returns keys with their bytes, tensors with the bytes of their entries, and where the data begins
 */
export function readHeader(bytes) {
  let at = 0
  const take = (count) => {
    at += count
    return at - count
  }
  const u32 = () => bytes.readUInt32LE(take(4))
  const u64 = () => Number(bytes.readBigUInt64LE(take(8)))
  const text = () => {
    const length = u64()
    return bytes.toString('utf8', take(length), at)
  }
  const skip = (type) => {
    if (type === stringType) {
      text()
    } else if (type === arrayType) {
      const [of, count] = [u32(), u64()]
      if (valueBytes[of] !== undefined) take(valueBytes[of] * count)
      else for (let i = 0; i < count; ++i) skip(of)
    } else {
      take(valueBytes[type])
    }
  }
  if (u32() !== 0x46554747 || u32() !== 3) throw new Error('model: expected a GGUF file of version 3')
  const [numTensors, numKeys] = [u64(), u64()]
  const keys = Array.from({ length: numKeys }, () => {
    const start = at
    const name = text()
    const type = u32()
    const valueAt = at
    skip(type)
    return { name, type, bytes: bytes.subarray(start, at), value: bytes.subarray(valueAt, at) }
  })
  const tensors = Array.from({ length: numTensors }, () => {
    const start = at
    const name = text()
    const dimensions = u32()
    take(8 * dimensions + 4)
    const entry = bytes.subarray(start, at)
    const shape = Array.from({ length: dimensions }, (_, i) =>
      Number(entry.readBigUInt64LE(entry.length - 4 - 8 * (dimensions - i))),
    )
    return { name, entry, shape, offset: u64() }
  })
  const alignment = keys.find(({ name }) => name === 'general.alignment')?.value.readUInt32LE() ?? 32
  return { keys, tensors, alignment, dataAt: ceilTo(at, alignment) }
}

/**
 * Writes the first layers of a model, with the first tokens of its vocabulary.
 * @param {string} from
 * @param {string} to
 * @param {{ layers: number, vocabulary?: number }} sizes vocabulary: all where it is not given
 * @returns {number} bytes of the new file
 */
export function shortenModel(from, to, { layers, vocabulary }) {
  const source = readFileSync(from)
  const { keys, tensors, alignment, dataAt } = readHeader(source)
  const counts = keys.filter(({ name }) => name.endsWith('.block_count'))
  const had = counts[0]?.type === u32Type ? counts[0].value.readUInt32LE() : 0
  if (counts.length !== 1 || !(layers >= 1 && layers <= had))
    throw new Error(`layers: expected 1 to ${had}, those of the model, got ${layers}`)
  const tokens = tensors.find(({ name }) => name === 'token_embd.weight').shape[1]
  const vocab = vocabulary ?? tokens
  if (!(vocab >= 1 && vocab <= tokens))
    throw new Error(`vocabulary: expected 1 to ${tokens}, that of the model, got ${vocab}`)
  const inOrder = tensors.toSorted((a, b) => a.offset - b.offset)
  const ends = new Map(inOrder.map(({ name }, i) => [name, inOrder[i + 1]?.offset ?? source.length - dataAt]))
  const kept = inOrder.filter(({ name }) => !(Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? -1) >= layers))

  const head = Buffer.alloc(24)
  source.copy(head, 0, 0, 8)
  head.writeBigUInt64LE(BigInt(kept.length), 8)
  head.writeBigUInt64LE(BigInt(keys.length), 16)
  const parts = [head]
  const known = new Set(stringsOf(keys.find(({ name }) => name === 'tokenizer.ggml.tokens')).slice(0, vocab))
  for (const key of keys) {
    if (key === counts[0]) parts.push(withCount(key, layers))
    else if (key.name.endsWith('.vocab_size')) parts.push(withCount(key, vocab))
    else if (key.type !== arrayType || vocab === tokens) parts.push(key.bytes)
    else if (key.name === 'tokenizer.ggml.merges')
      parts.push(
        withStrings(
          key,
          stringsOf(key).filter((merge) => known.has(merge.replace(' ', ''))),
        ),
      )
    else if (key.name === 'tokenizer.ggml.tokens') parts.push(withStrings(key, [...known]))
    else if (/^tokenizer\.ggml\.(token_type|scores)$/.test(key.name)) parts.push(withFirst(key, vocab))
    else parts.push(key.bytes)
  }
  let offset = 0
  const data = kept.map(({ name, entry, shape, offset: at }) => {
    const place = Buffer.alloc(8)
    place.writeBigUInt64LE(BigInt(offset))
    const whole = source.subarray(dataAt + at, dataAt + ends.get(name))
    const byTokens = name === 'token_embd.weight' || name === 'output.weight'
    const bytes = byTokens ? whole.subarray(0, Math.floor(whole.length / tokens) * vocab) : whole
    const described = Buffer.from(entry)
    if (byTokens) described.writeBigUInt64LE(BigInt(vocab), entry.length - 4 - 8 * (shape.length - 1))
    parts.push(described, place)
    const start = offset
    offset = ceilTo(offset + bytes.length, alignment)
    return { start, bytes }
  })
  const header = Buffer.concat(parts)
  const begin = ceilTo(header.length, alignment)
  const file = openSync(to, 'w')
  try {
    ftruncateSync(file, begin + offset)
    writeSync(file, header, 0, header.length, 0)
    for (const { start, bytes } of data) writeSync(file, bytes, 0, bytes.length, begin + start)
  } finally {
    closeSync(file)
  }
  return begin + offset
}

function withCount(key, count) {
  const bytes = Buffer.from(key.bytes)
  bytes.writeUInt32LE(count, bytes.length - 4)
  return bytes
}

/** An array of numbers of 4 bytes, cut. */
function withFirst(key, count) {
  const head = Buffer.from(key.bytes.subarray(0, key.bytes.length - key.value.length + 12))
  head.writeBigUInt64LE(BigInt(count), head.length - 8)
  return Buffer.concat([head, key.value.subarray(12, 12 + 4 * count)])
}

function withStrings(key, strings) {
  const head = Buffer.from(key.bytes.subarray(0, key.bytes.length - key.value.length + 12))
  head.writeBigUInt64LE(BigInt(strings.length), head.length - 8)
  const parts = strings.map((text) => {
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(Buffer.byteLength(text)))
    return Buffer.concat([length, Buffer.from(text)])
  })
  return Buffer.concat([head, ...parts])
}

function stringsOf(key) {
  if (key === undefined) return []
  const { value } = key
  let at = 12
  return Array.from({ length: Number(value.readBigUInt64LE(4)) }, () => {
    const length = Number(value.readBigUInt64LE(at))
    at += 8 + length
    return value.toString('utf8', at - length, at)
  })
}

function ceilTo(count, multiple) {
  return Math.ceil(count / multiple) * multiple
}

if (process.argv[1] && import.meta.url === pathToFileURL(resolve(process.argv[1])).href) {
  const { values, positionals } = parseArgs({
    options: { layers: { type: 'string' }, vocabulary: { type: 'string' } },
    allowPositionals: true,
  })
  const vocabulary = values.vocabulary === undefined ? {} : { vocabulary: Number(values.vocabulary) }
  const bytes = shortenModel(positionals[0], positionals[1], { layers: Number(values.layers), ...vocabulary })
  console.log(`${positionals[1]}: ${(bytes / 1e6).toFixed(1)} MB`)
}
