import { checkInteger, checkKeys, OptionError, ShapeError } from '@kvasir/core'
import type { Hasher } from './hasher.ts'

export interface VocabularyOptions {
  /** Required. */
  readonly hasher: Hasher
  /** Ids are below it. Required. */
  readonly numTokens: number
  /** The vectors of some ids, [ids.length][dim], always the same ones. Required. */
  readonly embeddings: (ids: Int32Array, signal?: AbortSignal) => Float32Array | Promise<Float32Array>
}

/** Codes of token ids, each computed when it is first asked for: a vector that depends on the id alone has one code. */
export interface Vocabulary {
  readonly hasher: Hasher
  readonly numTokens: number
  /** Ids whose code is known. */
  readonly numKnown: number
  readonly bytes: number
  /** [ids.length][codeBytes]. */
  codes(ids: Int32Array, signal?: AbortSignal): Promise<Uint8Array>
  /** [ids.length][dim]. */
  vectors(ids: Int32Array, signal?: AbortSignal): Promise<Float32Array>
}

/** Vectors hashed at a time. */
const batchTokens = 4096

/** An empty table. Throws OptionError. */
export function createVocabulary(options: VocabularyOptions): Vocabulary {
  checkKeys('createVocabulary', options, ['hasher', 'numTokens', 'embeddings'])
  const { hasher, embeddings } = options
  const numTokens = checkInteger('numTokens', options.numTokens, 1, 2 ** 24)
  const { codeBytes, dim } = hasher
  const table = new Uint8Array(numTokens * codeBytes)
  const known = new Uint8Array(numTokens)
  let numKnown = 0

  async function vectors(ids: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    checkIds(ids, numTokens)
    signal?.throwIfAborted()
    const rows = await embeddings(ids, signal)
    if (rows.length === ids.length * dim) return rows
    throw new ShapeError({ parameter: 'embeddings', expected: `${ids.length} rows of ${dim}`, got: rows.length })
  }

  async function learn(ids: Int32Array, signal?: AbortSignal): Promise<void> {
    const codes = await hasher.codes(await vectors(ids, signal), signal)
    ids.forEach((id, i) => {
      table.set(codes.subarray(i * codeBytes, (i + 1) * codeBytes), id * codeBytes)
      // Another call may have learnt it meanwhile.
      if (known[id] === 0) numKnown++
      known[id] = 1
    })
  }

  return {
    hasher,
    numTokens,
    get numKnown() {
      return numKnown
    },
    bytes: table.byteLength + known.byteLength,
    vectors,
    codes: async (ids, signal) => {
      checkIds(ids, numTokens)
      const asked = ids.slice()
      const unknown = Int32Array.from(new Set(asked.filter((id) => known[id] === 0)))
      for (let at = 0; at < unknown.length; at += batchTokens) {
        await learn(unknown.subarray(at, at + batchTokens), signal)
      }
      const codes = new Uint8Array(asked.length * codeBytes)
      asked.forEach((id, i) => {
        codes.set(table.subarray(id * codeBytes, (id + 1) * codeBytes), i * codeBytes)
      })
      return codes
    },
  }
}

function checkIds(ids: Int32Array, numTokens: number): void {
  if (!(ids instanceof Int32Array)) throw new OptionError({ parameter: 'ids', expected: 'an Int32Array', got: ids })
  const wrong = ids.findIndex((id) => id < 0 || id >= numTokens)
  if (wrong < 0) return
  throw new OptionError({ parameter: `ids[${wrong}]`, expected: `an id in [0, ${numTokens})`, got: ids[wrong] })
}
