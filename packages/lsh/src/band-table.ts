import { checkInteger, checkKeys, OptionError, type Scope, ShapeError } from '@kvasir/core'
import { deriveKey } from './derive-key.ts'
import { createPostingTable } from './posting-table.ts'
import { likelyProbes } from './probes.ts'
import { bandTag, countBits } from './signature-bands.ts'
import { createSlotList } from './slot-list.ts'

export interface BandTableOptions {
  /** At least 16 bytes. Required. */
  readonly secret: Uint8Array
  /** Whose codes it holds. Required. */
  readonly scope: Scope
  /** Bytes of each code, a multiple of 4. Required. */
  readonly codeBytes: number
  /** Bits that two codes must share in some band to meet, 1 to 64: K. @default 16 */
  readonly bandBits?: number
  /** Bands of a code: L. @default as many as fit */
  readonly numBands?: number
  /** Codes listed under one reading of a band, the newest ones. @default 32 */
  readonly maxListed?: number
  /** Another number gives an unrelated table. @default 0 */
  readonly rotation?: number
}

export interface BandQuery {
  /** Likeliest other readings of bands to look up as well, at most 4096. @default 0 */
  readonly probes?: number
  /** [bits of a code] distance of each from flipping, such as products with planes. @default all alike */
  readonly margins?: Float32Array
  /** Candidates looked at, at most; what lies under the code's own readings comes first. @default 1024 */
  readonly maxCandidates?: number
  /** Best candidates given back. @default 16 */
  readonly limit?: number
}

export interface BandMatch {
  readonly slot: number
  /** Bits that differ. */
  readonly distance: number
}

/** Codes that can be found by any band that they share with a query (Indyk and Motwani 1998). */
export interface BandTable {
  readonly bandBits: number
  readonly numBands: number
  readonly size: number
  readonly bytes: number
  /** Adds a code [codeBytes]; the number that stands for it, given again once it is removed. */
  insert(code: Uint8Array): number
  /** False if no code has that number. */
  remove(slot: number): boolean
  /** Codes that share a band with the query, nearest by Hamming distance first, then the older. */
  query(code: Uint8Array, options?: BandQuery): BandMatch[]
}

/** An empty table. Throws OptionError, ShapeError and ScopeError. */
export function createBandTable(options: BandTableOptions): BandTable {
  const { key, codeBytes, bandBits, numBands, maxListed } = resolve(options)
  const codeWords = codeBytes / 4
  const slots = createSlotList()
  let words = new Uint32Array(64 * codeWords)
  // When each slot was filled, and in which query it was last seen.
  let filled = new Float64Array(64)
  let seen = new Uint32Array(64)
  let [insertions, queries] = [0, 0]
  const postings = createPostingTable(maxListed)
  const listed = new Int32Array(maxListed)

  const wordsOf = (slot: number) => words.subarray(slot * codeWords, (slot + 1) * codeWords)

  function grow(): void {
    const [oldWords, oldFilled, oldSeen] = [words, filled, seen]
    words = new Uint32Array(2 * oldWords.length)
    filled = new Float64Array(2 * oldFilled.length)
    seen = new Uint32Array(2 * oldSeen.length)
    words.set(oldWords)
    filled.set(oldFilled)
    seen.set(oldSeen)
  }

  function readCode(code: Uint8Array): Uint32Array {
    if (!(code instanceof Uint8Array)) throw new OptionError({ parameter: 'code', expected: 'a Uint8Array', got: code })
    if (code.length !== codeBytes) {
      throw new ShapeError({ parameter: 'code', expected: `${codeBytes} bytes`, got: code.length })
    }
    const view = new DataView(code.buffer, code.byteOffset, codeBytes)
    return Uint32Array.from({ length: codeWords }, (_, i) => view.getUint32(4 * i, true))
  }

  function nextQuery(): number {
    queries = (queries + 1) >>> 0
    if (queries === 0) {
      seen.fill(0)
      queries = 1
    }
    return queries
  }

  return {
    bandBits,
    numBands,
    get size() {
      return slots.size
    },
    get bytes() {
      return postings.numBytes + words.byteLength + filled.byteLength + seen.byteLength
    },
    insert: (code) => {
      const read = readCode(code)
      const slot = slots.take()
      if (slot >= filled.length) grow()
      words.set(read, slot * codeWords)
      filled[slot] = ++insertions
      seen[slot] = 0
      for (let band = 0; band < numBands; band++) postings.add(bandTag(read, key, bandBits, band), slot)
      return slot
    },
    remove: (slot) => {
      if (!Number.isInteger(slot) || slot < 0 || !slots.isTaken(slot)) return false
      for (let band = 0; band < numBands; band++) postings.remove(bandTag(wordsOf(slot), key, bandBits, band), slot)
      slots.release(slot)
      return true
    },
    query: (code, options = {}) => {
      const read = readCode(code)
      const { probes, margins, maxCandidates, limit } = resolveQuery(options, numBands * bandBits, codeBytes * 8)
      const stamp = nextQuery()
      const matches: BandMatch[] = []
      const gather = (tag: number) => {
        const count = postings.list(tag, listed)
        for (let i = 0; i < count && matches.length < maxCandidates; i++) {
          const slot = listed[i] as number
          if (seen[slot] === stamp) continue
          seen[slot] = stamp
          matches.push({ slot, distance: distanceOf(read, words, slot * codeWords) })
        }
      }
      for (let band = 0; band < numBands; band++) gather(bandTag(read, key, bandBits, band))
      for (const { band, bits } of probes === 0 ? [] : likelyProbes(margins, numBands, bandBits, probes)) {
        if (matches.length >= maxCandidates) break
        for (const bit of bits) flip(read, band * bandBits + bit)
        gather(bandTag(read, key, bandBits, band))
        for (const bit of bits) flip(read, band * bandBits + bit)
      }
      const age = ({ slot }: BandMatch) => filled[slot] as number
      return matches.sort((a, b) => a.distance - b.distance || age(a) - age(b)).slice(0, limit)
    },
  }
}

function flip(words: Uint32Array, bit: number): void {
  words[bit >>> 5] = (words[bit >>> 5] as number) ^ (1 << (bit & 31))
}

function distanceOf(code: Uint32Array, words: Uint32Array, start: number): number {
  let sum = 0
  for (let i = 0; i < code.length; i++) sum += countBits((code[i] as number) ^ (words[start + i] as number))
  return sum
}

function resolve(options: BandTableOptions) {
  const names = ['secret', 'scope', 'codeBytes', 'bandBits', 'numBands', 'maxListed', 'rotation']
  checkKeys('createBandTable', options, names)
  const codeBytes = checkInteger('codeBytes', options.codeBytes, 4, 4096)
  if (codeBytes % 4 !== 0) throw new ShapeError({ parameter: 'codeBytes', expected: 'a multiple of 4', got: codeBytes })
  const bandBits = checkInteger('bandBits', options.bandBits ?? 16, 1, Math.min(64, 8 * codeBytes))
  const fit = Math.floor((8 * codeBytes) / bandBits)
  const numBands = checkInteger('numBands', options.numBands ?? fit, 1, fit)
  const maxListed = checkInteger('maxListed', options.maxListed ?? 32, 1, 4096)
  const { secret, scope, rotation = 0 } = options
  const bytes = deriveKey(secret, { scope, use: 'bands', rotation })
  const key = Uint32Array.from({ length: 8 }, (_, i) => new DataView(bytes.buffer).getUint32(4 * i, true))
  return { key, codeBytes, bandBits, numBands, maxListed }
}

function resolveQuery(options: BandQuery, bandedBits: number, codeBits: number) {
  checkKeys('query', options, ['probes', 'margins', 'maxCandidates', 'limit'])
  const probes = checkInteger('probes', options.probes ?? 0, 0, 4096)
  const maxCandidates = checkInteger('maxCandidates', options.maxCandidates ?? 1024, 1, 2 ** 20)
  const limit = checkInteger('limit', options.limit ?? 16, 1, 2 ** 20)
  const { margins = new Float32Array(probes === 0 ? 0 : bandedBits).fill(1) } = options
  if (options.margins !== undefined && margins.length !== codeBits) {
    throw new ShapeError({ parameter: 'margins', expected: `${codeBits} values, one a bit`, got: margins.length })
  }
  return { probes, margins, maxCandidates, limit }
}
