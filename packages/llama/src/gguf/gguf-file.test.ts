import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DisposedError, KvasirError, OptionError } from '@kvasir/core'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fixturePath, modelPath, readFixture } from '../../test-fixtures/fixtures.ts'
import { buildGguf, entry, f32, TYPE, text, u8, u32, u64 } from '../../test-fixtures/gguf-builder.ts'
import { readConfig } from '../config.ts'
import { checkTensors } from '../expected-tensors.ts'
import { readTokenizer } from '../tokenizer/read-tokenizer.ts'
import { GgufError, type GgufErrorKind } from './gguf-error.ts'
import { openGguf } from './gguf-file.ts'
import { tensorColumns, tensorRows } from './tensor-table.ts'

const MICRO = fixturePath('gguf/micro-F16.gguf')

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvasir-gguf-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function openBytes(bytes: Uint8Array) {
  const path = join(folder, 'bytes.gguf')
  await writeFile(path, bytes)
  return openGguf(path)
}

async function kindOf(bytes: Uint8Array): Promise<GgufErrorKind> {
  const error = await openBytes(bytes).then(
    () => null,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(GgufError)
  return (error as GgufError).kind
}

describe('openGguf', () => {
  it('reads version, alignment, metadata and tensor places of a small file', async () => {
    await using file = await openGguf(MICRO)
    expect(file).toMatchObject({ version: 3, alignment: 32, fileBytes: 8224, path: MICRO })
    expect(file.metadata.get('general.architecture')).toBe('llama')
    expect(file.metadata.get('llama.rope.freq_base')).toBe(10_000)
    const embedding = file.tensors.get('token_embd.weight')!
    expect(embedding).toMatchObject({ type: 'F16', shape: [16, 64], byteLength: 16 * 64 * 2 })
    expect([tensorRows(embedding), tensorColumns(embedding)]).toEqual([64, 16])
  })

  it('reads the values that other software dequantised', async () => {
    interface Golden {
      dequantised: { name: string; type: string; shape: [number, number]; row0: number[] }[]
    }
    await using file = await openGguf(MICRO)
    const { dequantised } = readFixture<Golden>('gguf/micro-F16.gguf.json')
    const matrices = dequantised.filter(({ type }) => type === 'F16')
    expect(matrices.length).toBe(2)
    for (const { name, shape, row0 } of matrices) {
      const bytes = await file.readTensor(name, undefined, 0, shape[1] * 2)
      const halves = new DataView(bytes.buffer)
      row0.forEach((value, i) => {
        expect(halfToNumber(halves.getUint16(i * 2, true))).toBeCloseTo(value, 8)
      })
    }
  })

  it.skipIf(modelPath === null)('reads the header of the bundled model', async () => {
    await openGguf(modelPath!).then((file) => file.close())
    const start = performance.now()
    await using file = await openGguf(modelPath!)
    const elapsedMs = performance.now() - start
    expect(file.tensors.size).toBe(272)
    expect(file.metadata.size).toBe(33)
    expect((file.metadata.get('tokenizer.ggml.tokens') as string[]).length).toBe(49_152)
    expect(file.tensors.get('token_embd.weight')!.type).toBe('Q8_0')
    // About 40 ms on an idle core; the bound only catches a change of order.
    expect(elapsedMs).toBeLessThan(1000)
  })

  it('reads every kind of value, 64-bit ones as numbers where that is exact', async () => {
    const i64 = Buffer.alloc(8)
    i64.writeBigInt64LE(-5n)
    const f64 = Buffer.alloc(8)
    f64.writeDoubleLE(0.1)
    const bytes = buildGguf([
      entry('u8', TYPE.u8, u8(200)),
      entry('i8', TYPE.i8, u8(200)),
      entry('u16', TYPE.u16, Buffer.from([1, 2])),
      entry('i32', TYPE.i32, u32(0xffff_fffe)),
      entry('f32', TYPE.f32, f32(0.5)),
      entry('f64', TYPE.f64, f64),
      entry('yes', TYPE.bool, u8(1)),
      entry('safe', TYPE.u64, u64(2n ** 53n - 1n)),
      entry('large', TYPE.u64, u64(2n ** 60n)),
      entry('i64', TYPE.i64, i64),
      entry('text', TYPE.string, text('åß🙂')),
      entry('texts', TYPE.array, u32(TYPE.string), u64(2), text('a'), text('')),
      entry('bools', TYPE.array, u32(TYPE.bool), u64(2), u8(0), u8(1)),
      entry('u16s', TYPE.array, u32(TYPE.u16), u64(2), Buffer.from([1, 0, 255, 255])),
      entry('u64s', TYPE.array, u32(TYPE.u64), u64(1), u64(2n ** 63n)),
      entry('none', TYPE.array, u32(TYPE.f32), u64(0)),
    ])
    await using file = await openBytes(bytes)
    expect(Object.fromEntries(file.metadata)).toEqual({
      u8: 200,
      i8: -56,
      u16: 513,
      i32: -2,
      f32: 0.5,
      f64: 0.1,
      yes: true,
      safe: Number.MAX_SAFE_INTEGER,
      large: 2n ** 60n,
      i64: -5,
      text: 'åß🙂',
      texts: ['a', ''],
      bools: [false, true],
      u16s: Uint16Array.of(1, 65_535),
      u64s: BigUint64Array.of(2n ** 63n),
      none: new Float32Array(),
    })
  })

  it('reads headers far longer than one read', async () => {
    const words = Array.from({ length: 300_000 }, (_, i) => `word ${i}`)
    const long = 'x'.repeat(3_000_000)
    const bytes = buildGguf([
      entry('words', TYPE.array, u32(TYPE.string), u64(words.length), Buffer.concat(words.map(text))),
      entry('long', TYPE.string, text(long)),
      entry('last', TYPE.u32, u32(7)),
    ])
    await using file = await openBytes(bytes)
    expect(file.metadata.get('words')).toEqual(words)
    expect(file.metadata.get('long') === long).toBe(true)
    expect(file.metadata.get('last')).toBe(7)
  })
})

describe('broken files', () => {
  const KINDS: Readonly<Record<string, GgufErrorKind>> = {
    'truncated-header': 'truncated-header',
    'truncated-tensor-info': 'truncated-header',
    'truncated-data': 'tensor-data-missing',
    'no-data': 'tensor-data-missing',
    empty: 'empty-file',
    'wrong-magic': 'bad-magic',
    'version-99': 'unsupported-version',
    'tensor-count-huge': 'tensor-count',
    'kv-count-huge': 'key-count',
    'string-length-huge': 'string-length',
    'string-length-wraps': 'string-length',
    'array-length-huge': 'array-length',
    'kv-type-unknown': 'unknown-value-type',
    'duplicate-key': 'duplicate-key',
    'tensor-offset-beyond-end': 'tensor-offset',
    'tensor-offset-wraps': 'tensor-offset',
    'tensor-offset-unaligned': 'tensor-misaligned',
    'duplicate-tensor-name': 'duplicate-tensor',
    'tensor-type-unknown': 'unknown-tensor-type',
    'tensor-type-removed': 'removed-tensor-type',
    'row-not-whole-blocks': 'partial-block',
    'n-dims-9': 'dimension-count',
    'zero-dimension': 'zero-dimension',
    'dimension-product-wraps': 'tensor-too-large',
    'alignment-0': 'bad-alignment',
  }
  const index = readFixture<{ file: string; level: string }[]>('gguf/broken/index.json')
  const files = index.filter(({ level }) => level === 'file').map(({ file }) => file.replace('.gguf', ''))

  it('are all known here', () => {
    expect(files.toSorted()).toEqual(Object.keys(KINDS).toSorted())
  })

  it.each(files)('%s is refused with its own error', async (name) => {
    const path = fixturePath(`gguf/broken/${name}.gguf`)
    const { error, grownBytes } = await memoryOf(() => openGguf(path))
    expect(error).toBeInstanceOf(GgufError)
    const { kind, message, what, expected } = error as GgufError
    expect(kind).toBe(KINDS[name])
    expect(message).toContain(path)
    expect(message).toContain(what)
    expect(expected).not.toBe('')
    expect(grownBytes).toBeLessThan(16 << 20)
  })

  it('names the field, its place, what was expected and what came', async () => {
    await expect(openGguf(fixturePath('gguf/broken/string-length-huge.gguf'))).rejects.toMatchObject({
      kind: 'string-length',
      what: 'metadata value general.architecture',
      byteOffset: 56,
      got: String(2n ** 62n),
    })
    await expect(openGguf(fixturePath('gguf/broken/tensor-count-huge.gguf'))).rejects.toMatchObject({
      byteOffset: 8,
      got: String(2n ** 60n),
    })
  })

  it('a path that cannot be opened or is a folder is a GgufError with its cause', async () => {
    const missing = openGguf(join(folder, 'nothing.gguf'))
    await expect(missing).rejects.toMatchObject({ kind: 'open-failed', cause: { code: 'ENOENT' } })
    await expect(openGguf(folder)).rejects.toBeInstanceOf(GgufError)
  })

  it('further defects have their own kinds', async () => {
    const tensor = { name: 't', dimensions: [32], typeId: 0, offset: 0 }
    const version1 = buildGguf([])
    version1.writeUInt32LE(1, 4)
    const bigEndian = buildGguf([])
    bigEndian.writeUInt32BE(3, 4)
    expect(await kindOf(version1)).toBe('unsupported-version')
    await expect(openBytes(bigEndian)).rejects.toThrow('big-endian')
    expect(await kindOf(buildGguf([entry('a', TYPE.array, u32(TYPE.array), u64(1))]))).toBe('nested-array')
    expect(await kindOf(buildGguf([entry('a', TYPE.bool, u8(2))]))).toBe('bad-boolean')
    expect(await kindOf(buildGguf([entry('', TYPE.bool, u8(1))]))).toBe('bad-name')
    expect(await kindOf(buildGguf([entry('general.alignment', TYPE.u32, u32(48))]))).toBe('bad-alignment')
    expect(await kindOf(buildGguf([entry('general.alignment', TYPE.u32, u32(1 << 17))]))).toBe('bad-alignment')
    expect(await kindOf(buildGguf([entry('general.alignment', TYPE.string, text('32'))]))).toBe('bad-alignment')
    expect(await kindOf(buildGguf([], [{ ...tensor, dimensions: [] }], 128))).toBe('dimension-count')
    const overlapping = [tensor, { ...tensor, name: 'u', offset: 96 }]
    expect(await kindOf(buildGguf([], overlapping, 256))).toBe('tensor-overlap')
  })

  it('a huge claim in a huge file takes little memory', async () => {
    const path = join(folder, 'sparse.gguf')
    const claims = [
      entry('a', TYPE.string, u64(90_000_000)),
      entry('a', TYPE.array, u32(TYPE.f32), u64(20_000_000)),
      entry('a', TYPE.array, u32(TYPE.string), u64(10_000_000)),
      entry('a', TYPE.array, u32(TYPE.string), u64(1 << 20)),
      entry('a', TYPE.array, u32(TYPE.i32), u64(1 << 20)),
      entry('a', TYPE.string, u64(6 << 20)),
    ]
    for (const claim of claims) {
      const bytes = buildGguf([claim])
      // A second key, which the zeros after the first cannot be: even a claim that the file bears out ends in an error.
      bytes.writeBigUInt64LE(2n, 16)
      await writeFile(path, bytes)
      await truncate(path, 2 ** 33)
      const { error, grownBytes } = await memoryOf(() => openGguf(path))
      expect(error).toBeInstanceOf(GgufError)
      expect(grownBytes).toBeLessThan(16 << 20)
    }
  })
})

describe('damaged copies of a small file', () => {
  /** Opens and reads all that loading a model would; anything but success or a KvasirError fails the test. */
  async function load(path: string): Promise<void> {
    await using file = await openGguf(path)
    checkTensors(file, await readConfig(file))
    readTokenizer(file)
    for (const name of file.tensors.keys()) await file.readTensor(name)
  }

  it('every truncation is refused', async () => {
    const path = join(folder, 'truncated.gguf')
    const whole = await readFile(MICRO)
    await using file = await openGguf(MICRO)
    const end = Math.max(...[...file.tensors.values()].map(({ offset, byteLength }) => offset + byteLength))
    await writeFile(path, whole)
    for (let bytes = end - 1; bytes >= 0; bytes--) {
      await truncate(path, bytes)
      const error = await openGguf(path).then(
        () => null,
        (reason: unknown) => reason,
      )
      if (!(error instanceof GgufError)) throw new Error(`${bytes} bytes: ${error}`)
    }
  }, 60_000)

  it('byte flips never crash and never take much memory', async () => {
    const path = join(folder, 'flipped.gguf')
    const whole = await readFile(MICRO)
    const headerBytes = 1400
    const flip = fc.tuple(fc.nat(headerBytes), fc.integer({ min: 1, max: 255 }))
    await fc.assert(
      fc.asyncProperty(fc.array(flip, { minLength: 1, maxLength: 4 }), async (flips) => {
        const bytes = Uint8Array.from(whole)
        for (const [at, mask] of flips) bytes[at] ^= mask
        await writeFile(path, bytes)
        const { error, grownBytes } = await memoryOf(() => load(path))
        if (error !== null && !(error instanceof KvasirError)) throw error
        expect(grownBytes).toBeLessThan(16 << 20)
      }),
      { numRuns: 2000 },
    )
  }, 60_000)
})

describe('readTensor', () => {
  it('reads a range, into given memory, from many callers at once', async () => {
    await using file = await openGguf(MICRO)
    const name = 'blk.0.ffn_up.weight'
    const whole = await file.readTensor(name)
    const into = new Uint8Array(1000).fill(7)
    const part = await file.readTensor(name, into, 32, 64)
    expect(part).toEqual(whole.subarray(32, 96))
    expect(part.buffer).toBe(into.buffer)
    expect(into[64]).toBe(7)
    const rows = await Promise.all(
      Array.from({ length: 16 }, (_, row) => file.readTensor(name, undefined, row * 32, 32)),
    )
    expect(Buffer.concat(rows)).toEqual(Buffer.from(whole))
  })

  it('refuses unknown names, ranges outside the tensor, short memory and a closed file', async () => {
    const file = await openGguf(MICRO)
    const name = 'blk.0.ffn_up.weight'
    await expect(file.readTensor('nothing')).rejects.toMatchObject({ kind: 'unknown-tensor' })
    await expect(file.readTensor(name, undefined, 500, 13)).rejects.toBeInstanceOf(OptionError)
    await expect(file.readTensor(name, undefined, -1)).rejects.toBeInstanceOf(OptionError)
    await expect(file.readTensor(name, new Uint8Array(511))).rejects.toBeInstanceOf(OptionError)
    await file.close()
    await file.close()
    await expect(file.readTensor(name)).rejects.toBeInstanceOf(DisposedError)
  })

  it('a file that became shorter is an error, not zeros', async () => {
    const path = join(folder, 'shrinking.gguf')
    await writeFile(path, await readFile(MICRO))
    await using file = await openGguf(path)
    await truncate(path, 2000)
    const names = [...file.tensors.values()].filter(({ offset }) => offset > 2000).map(({ name }) => name)
    await expect(file.readTensor(names[0])).rejects.toMatchObject({ kind: 'read-failed' })
  })
})

/** What `act` throws, and how much the heap and the buffers beside it grew: an upper bound as long as nothing is freed. */
async function memoryOf(act: () => Promise<unknown>): Promise<{ error: unknown; grownBytes: number }> {
  const before = process.memoryUsage()
  let error: unknown = null
  try {
    await act()
  } catch (reason) {
    error = reason
  }
  const after = process.memoryUsage()
  return { error, grownBytes: after.heapUsed + after.external - before.heapUsed - before.external }
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
