import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type DonorKv, IntegrityError } from '@kvasir/core'
import { seededRandom, testDonor } from '@kvasir/core/testing'
import { beforeAll, describe, expect, test } from 'vitest'
import { ContainerCipher } from './container-cipher.ts'
import { encodeHeader } from './container-header.ts'
import { encodePreamble, preambleBytes } from './container-layout.ts'
import { type FileCalls, systemFiles } from './donor-files.ts'
import { readDonorFile } from './read-donor-file.ts'
import { writeDonorFile } from './write-donor-file.ts'

const key = Uint8Array.from({ length: 32 }, (_, at) => at)
const ciphers = { marked: new ContainerCipher(undefined), sealed: new ContainerCipher(key) }

let folder: string
let written = 0
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvasir-container-'))
})

const newPath = () => join(folder, String(written++))

/** The bytes of a container. */
async function contain(donor: DonorKv, cipher: ContainerCipher): Promise<Uint8Array> {
  const path = newPath()
  await writeDonorFile({ files: systemFiles, cipher, path, header: encodeHeader(donor) }, donor)
  return new Uint8Array(await readFile(path))
}

/** A disk with one file. */
function diskOf(bytes: Uint8Array): FileCalls {
  const handle = {
    stat: async () => ({ size: bytes.length, mtimeMs: 0, isFile: () => true }),
    read: async (into: Uint8Array, at: number, length: number, position: number) => {
      const found = bytes.subarray(position, position + length)
      into.set(found, at)
      return { bytesRead: found.length }
    },
    close: async () => {},
  }
  return { open: async () => handle } as unknown as FileCalls
}

/** Opens the container and reads every layer; gives the error's message where it is refused, else null. */
async function refusalOf(bytes: Uint8Array, cipher: ContainerCipher): Promise<string | null> {
  try {
    const reader = await readDonorFile(diskOf(bytes), cipher, 'file')
    for (const layer of reader.layers.keys()) await reader.read(layer)
    return null
  } catch (error) {
    expect(error).toBeInstanceOf(IntegrityError)
    return (error as IntegrityError).message
  }
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = bytes.slice()
  copy[bit >> 3]! ^= 1 << (bit & 7)
  return copy
}

describe.each(['marked', 'sealed'] as const)('a %s container', (kind) => {
  const cipher = ciphers[kind]
  let bytes: Uint8Array
  let headBytes: number
  beforeAll(async () => {
    bytes = await contain(testDonor(), cipher)
    const reader = await readDonorFile(diskOf(bytes), cipher, 'file')
    headBytes = reader.layers[0]!.offset
    expect(await refusalOf(bytes, cipher)).toBeNull()
  })

  test('is refused with any bit of its head flipped', async () => {
    for (let bit = 0; bit < 8 * headBytes; bit++) {
      expect(await refusalOf(flipped(bytes, bit), cipher), `bit ${bit}`).not.toBeNull()
    }
  })

  test('is refused with any of 2,000 bits of its layers flipped', async () => {
    const large = await contain(testDonor({ numTokens: 400 }), cipher)
    const random = seededRandom(1)
    for (let tries = 0; tries < 2000; tries++) {
      const bit = 8 * headBytes + 400 * 32 + random.integer(8 * (large.length - headBytes) - 400 * 32)
      expect(await refusalOf(flipped(large, bit), cipher), `bit ${bit}`).not.toBeNull()
    }
  })

  test('is refused wherever it is cut, and with anything behind it', async () => {
    for (let end = 0; end < bytes.length; end++) {
      expect(await refusalOf(bytes.subarray(0, end), cipher), `${end} bytes`).not.toBeNull()
    }
    expect(await refusalOf(Buffer.concat([bytes, Buffer.of(0)]), cipher)).toMatch(/^file: expected \d+ bytes/)
  })

  test('is refused with a layer of another container, or its own layers exchanged', async () => {
    const other = await contain(testDonor({ seed: 1 }), cipher)
    const mixed = Buffer.concat([bytes.subarray(0, headBytes), other.subarray(headBytes)])
    expect(await refusalOf(mixed, cipher)).toMatch(/^layers\[0\]/)
    const { format } = testDonor()
    const layer = format.shape.layers[0]!
    const twins = { ...format, shape: { layers: [layer, layer] } }
    const sound = await contain(
      { ...testDonor(), format: twins, layer: async (l) => new Uint8Array(160).fill(l) },
      cipher,
    )
    const at = sound.length - 320
    const exchanged = Buffer.concat([sound.subarray(0, at), sound.subarray(at + 160), sound.subarray(at, at + 160)])
    expect(await refusalOf(sound, cipher)).toBeNull()
    expect(await refusalOf(exchanged, cipher)).toMatch(/^layers\[0\]: expected the bytes of its mark/)
  })
})

test('a sealed container says nothing of its donor, and opens with its key alone', async () => {
  const donor = testDonor({ id: 'of-a-client' })
  const sealed = Buffer.from(await contain(donor, ciphers.sealed))
  const marked = Buffer.from(await contain(donor, ciphers.marked))
  const [tokens, layer] = [Buffer.from(donor.tokens.buffer), Buffer.from(await donor.layer(1))]
  for (const text of ['of-a-client', 'acme', 'theta', tokens, layer]) {
    expect([marked.includes(text), sealed.includes(text)]).toEqual([true, false])
  }
  expect(await refusalOf(sealed, new ContainerCipher(new Uint8Array(32)))).toMatch(/^head: .* sealed with this key/)
  expect(await refusalOf(sealed, ciphers.marked)).toMatch(/^sealed: expected a file without a key/)
  expect(await refusalOf(marked, ciphers.sealed)).toMatch(/^sealed: expected a file sealed with the key/)
})

test('two files of one donor share no sealed byte run', async () => {
  const [a, b] = [await contain(testDonor(), ciphers.sealed), await contain(testDonor(), ciphers.sealed)]
  expect(Buffer.from(a).includes(Buffer.from(b.subarray(-32)))).toBe(false)
})

test('names are MACs: of the id, and under the key', () => {
  const { marked, sealed } = ciphers
  expect(marked.nameOf('a')).toMatch(/^[0-9a-f]{64}$/)
  expect(new Set([marked.nameOf('a'), marked.nameOf('b'), sealed.nameOf('a')]).size).toBe(3)
  expect(sealed.nameOf('a')).toBe(new ContainerCipher(key).nameOf('a'))
})

/** A container with right marks around whatever it says: what somebody who writes the file could make. */
async function forge(header: string | Uint8Array, changes: Partial<Record<string, number>> = {}): Promise<Uint8Array> {
  const { headerBytes = header.length, numTokens = 5, numLayers = 2, layerBytes = 280 } = changes
  const salt = randomBytes(32)
  const start = encodePreamble({ sealed: false, headerBytes, numTokens, numLayers, salt })
  const body = Buffer.concat([Buffer.from(header as Uint8Array), new Uint8Array(4 * numTokens + 16 * numLayers)])
  const { mark } = await ciphers.marked.forFile(salt).seal({ number: 0, binding: start }, body)
  return Buffer.concat([start, body, mark, new Uint8Array(layerBytes)])
}

describe('a forged header with right marks', () => {
  const text = Buffer.from(encodeHeader(testDonor())).toString()
  const { length } = JSON.parse(text).format.shape.layers
  expect(length).toBe(2)

  test('that is sound gets as far as its layers', async () => {
    expect(await refusalOf(await forge(text), ciphers.marked)).toMatch(/^layers\[0\]: expected the bytes of its mark/)
  })

  test.each<[string, string | Uint8Array, RegExp]>([
    ['no JSON', '{', /^header: expected JSON/],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]), /^header: expected JSON/],
    ['no object', '[]', /^header: expected an object, got/],
    ['nested without end', '['.repeat(100_000), /^header: expected JSON/],
    ['nested deeply', '['.repeat(100_000) + ']'.repeat(100_000), /^header: expected/],
    ['a prototype', text.replace('{"id"', '{"__proto__":{},"id"'), /no key __proto__/],
    ['a prototype inside', text.replace('"rope":{', '"rope":{"__proto__":1,'), /no key __proto__/],
    ['a key twice', text.replace('{"id"', '{"id":"x","id"'), /each key once/],
    ['a key twice inside', text.replace('"theta":', '"theta":1,"theta":'), /each key once/],
    ['spaces', text.replace(':', ': '), /no more spaces/],
    ['another key', text.replace('{"id"', '{"run":"x","id"'), /^header: expected the keys id, scope/],
    ['a key too few', text.replace('"provenance":"exact",', ''), /^header.provenance: expected a value, got undefined/],
    ['another key in the scope', text.replace('"tenant"', '"user":"x","tenant"'), /^header.scope: /],
    ['a malformed id', text.replace('"donor"', '"../donor"'), /^header.id: /],
    ['a private scope', text.replace('"acme"', '"~"'), /^header.scope.tenant: /],
    ['other values', text.replace('"f16","shape"', '"f64","shape"'), /^header.format.type: expected 'f16' or 'f32'/],
    ['no model', text.replace('"format":{"model":"toy"', '"format":{"model":""'), /^header.format.model: /],
    ['no layers', text.replace(/"layers":\[.*\]/, '"layers":[]'), /^header.shape.layers: /],
    ['half a head', text.replace('"headDim":6', '"headDim":6.5'), /^header.shape.layers\[1\].headDim: /],
    [
      'heads that do not divide',
      text.replace('"numHeads":4', '"numHeads":5'),
      /^header.shape.layers\[0\].numKvHeads: /,
    ],
    ['wide heads', text.replace('"headDim":6', '"headDim":9007199254740991'), /^layers\[1\]: expected at most/],
    ['wider heads', text.replace('"headDim":6', '"headDim":12'), /^file: expected 400 bytes|^file: expected \d+ bytes/],
    ['a turn of another kind', text.replace('"half"', '"third"'), /^header.shape.layers\[0\].rope.pairing: /],
    ['losses', text.replace('"exact"', '"approximate"'), /^header.provenance: expected "exact", got "approximate"/],
    [
      'another origin',
      text.replace('"firstPosition":0', '"firstPosition":9'),
      /^header.firstPosition: expected 0, got "9"|^header.firstPosition: expected 0, got 9/,
    ],
  ])('with %s is refused by name', async (_, header, expected) => {
    expect(await refusalOf(await forge(header), ciphers.marked)).toMatch(expected)
  })

  test.each<[string, Partial<Record<string, number>>, RegExp]>([
    ['tokens', { numTokens: 6 }, /^file: expected \d+ bytes/],
    ['layers', { numLayers: 3 }, /^numLayers: expected 2, as in the header, got 3/],
    ['bytes of layers', { layerBytes: 279 }, /^file: expected \d+ bytes/],
  ])('with another number of %s is refused', async (_, changes, expected) => {
    expect(await refusalOf(await forge(text, changes), ciphers.marked)).toMatch(expected)
  })

  test.each<[string, number, number, RegExp]>([
    ['version', 8, 2, /^version: expected 1, got 2/],
    ['seal', 12, 7, /^sealed: expected 0 or 1, got 7/],
    ['header length', 16, 0xffffffff, /^headerBytes: expected 1 to 4194304, got 4294967295/],
    ['header length of nothing', 16, 0, /^headerBytes/],
    ['header length beyond the file', 16, 4_000_000, /^file: expected at least 4000\d+ bytes/],
    ['number of tokens', 20, 0xffffffff, /^numTokens: expected 1 to 16777216/],
    ['number of tokens beyond the file', 20, 1 << 24, /^file: expected at least 671\d+ bytes/],
    ['number of layers', 24, 5000, /^numLayers: expected 1 to 4096, got 5000/],
    ['reserved number', 28, 1, /^reserved: expected 0, got 1/],
  ])('with a wrong %s is refused before anything is allocated', async (_, at, value, expected) => {
    const bytes = await forge(text)
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, value, true)
    expect(await refusalOf(bytes, ciphers.marked)).toMatch(expected)
  })
})

test('other kinds of files are refused', async () => {
  expect(await refusalOf(new Uint8Array(preambleBytes), ciphers.marked)).toMatch(/^magic: expected "?KVASIRKV/)
  await expect(readDonorFile(systemFiles, ciphers.marked, folder)).rejects.toThrow('a regular file')
  const link = newPath()
  await writeFile(join(folder, 'file'), await contain(testDonor(), ciphers.marked))
  await symlink(join(folder, 'file'), link)
  await expect(readDonorFile(systemFiles, ciphers.marked, link)).rejects.toThrow('ELOOP')
})
