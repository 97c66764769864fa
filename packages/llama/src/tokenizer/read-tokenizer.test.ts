import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers'
import { OptionError } from '@kvasir/core'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { dataPath, modelPath, readFixture } from '../../test-fixtures/fixtures.ts'
import { vocabularyMetadata } from '../../test-fixtures/vocabulary.ts'
import { openGguf } from '../gguf/gguf-file.ts'
import type { GgufValue } from '../gguf/header.ts'
import { readTokenizer } from './read-tokenizer.ts'
import type { Tokenizer } from './tokenizer.ts'

function small(options: Parameters<typeof vocabularyMetadata>[0] = {}): Tokenizer {
  return readTokenizer({ metadata: vocabularyMetadata(options) })!
}

const MERGES = ['t h', 'Ġ th', 'th e', 'Ġth e', 'Ã ©', 'ð Ł', 'ðŁ ĺ', 'Ġ Ġ']
const wellFormed = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc
    .array(fc.constantFrom('the', ' the', '  ', 'é', '😀', '1', '\n', '<s>', '</s>', '\ufeff'), { maxLength: 20 })
    .map((p) => p.join('')),
)

describe.skipIf(modelPath === null)('the tokenizer of the bundled model', () => {
  let metadata: ReadonlyMap<string, GgufValue>
  let tokenizer: Tokenizer
  beforeAll(async () => {
    await using file = await openGguf(modelPath!)
    metadata = file.metadata
    tokenizer = readTokenizer(file)!
  })

  const goldens = readFixture<{ text: string; ids: number[]; idsSpecialAsText: number[] }[]>('tokens.json')

  it('gives the ids of two other implementations, special tokens recognised or as text', () => {
    expect(goldens.length).toBe(42)
    for (const { text, ids, idsSpecialAsText } of goldens) {
      expect(Array.from(tokenizer.encode(text, { specialTokens: true }))).toEqual(ids)
      expect(Array.from(tokenizer.encode(text))).toEqual(idsSpecialAsText)
      expect(tokenizer.decode(ids, { specialTokens: true })).toBe(text)
      expect(tokenizer.decode(idsSpecialAsText)).toBe(text)
    }
  })

  const book = dataPath('books/10146.txt')
  it.skipIf(book === null)('gives their ids for 60,000 characters of a book', () => {
    interface BookGolden {
      characters: number
      count: number
      first: number[]
      last: number[]
      sha256_of_comma_joined_ids: string
    }
    const golden = readFixture<BookGolden>('tokens_book.json')
    const text = readFileSync(book!, 'utf8').slice(0, golden.characters)
    const ids = Array.from(tokenizer.encode(text))
    expect(ids.length).toBe(golden.count)
    expect(ids.slice(0, 64)).toEqual(golden.first)
    expect(ids.slice(-64)).toEqual(golden.last)
    expect(createHash('sha256').update(ids.join(',')).digest('hex')).toBe(golden.sha256_of_comma_joined_ids)
    expect(tokenizer.decode(ids)).toBe(text)
  })

  it('equals @huggingface/tokenizers on arbitrary text', () => {
    const library = libraryTokenizer(metadata)
    fc.assert(
      fc.property(wellFormed, (arbitrary) => {
        // The library's white space and single digits are not quite Unicode's: see pre-tokenizer.test.ts.
        const text = arbitrary.replace(/[\u0085\ufeff]|(?![0-9])\p{N}/gu, '')
        expect(Array.from(tokenizer.encode(text, { specialTokens: true }))).toEqual(library.encode(text).ids)
      }),
      { numRuns: 3000 },
    )
  })

  it('knows its special tokens and the bytes that it lacks', () => {
    expect(tokenizer).toMatchObject({
      vocabSize: 49_152,
      bosId: 1,
      eosId: 2,
      unknownId: 0,
      paddingId: 2,
      addsBos: false,
    })
    expect(tokenizer.eosIds).toEqual([0, 2])
    expect(tokenizer.missingBytes).toEqual([0x04, 0x06, 0x13, 0x14, 0x16, 0x1d, 0xf1, 0xf2])
    expect(tokenizer.decode(tokenizer.encode('a\u0004b'))).toBe('ab')
  })

  it('gives the start of each token', () => {
    const { ids, starts } = tokenizer.encodeWithOffsets('Hello, world! 😀 é')
    expect(Array.from(ids, (id) => tokenizer.decode([id]))).toEqual(['Hello', ',', ' world', '!', ' �', '�', ' é'])
    expect(Array.from(starts)).toEqual([0, 5, 6, 12, 13, 14, 16])
  })
})

describe('encode and decode', () => {
  it('bring back any well-formed text', () => {
    const tokenizers = ['gpt-2', 'smollm', 'llama-bpe', 'qwen2'].map((pre) =>
      small({ merges: MERGES, control: ['<s>'], userDefined: ['</s>'], pre }),
    )
    fc.assert(
      fc.property(wellFormed, fc.boolean(), (text, specialTokens) => {
        for (const tokenizer of tokenizers) {
          const ids = tokenizer.encode(text, { specialTokens })
          expect(tokenizer.decode(ids, { specialTokens })).toBe(text)
        }
      }),
      { numRuns: 1000 },
    )
  })

  it('read lone surrogates as U+FFFD', () => {
    const tokenizer = small()
    expect(tokenizer.decode(tokenizer.encode('a\ud83db\udc00'))).toBe('a\ufffdb\ufffd')
    fc.assert(
      fc.property(fc.array(fc.nat(0xffff), { maxLength: 20 }), (units) => {
        const text = String.fromCharCode(...units)
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.replace(/\p{Surrogate}/gu, '\ufffd'))
      }),
    )
  })

  it('recognise control tokens only when asked, user-defined ones always, the longest first', () => {
    const tokenizer = small({ control: ['<s>', '<s>>', '.*'], userDefined: ['<think>'] })
    const firstSpecial = 256
    expect(Array.from(tokenizer.encode('<s>><s>.*', { specialTokens: true }))).toEqual([257, 256, 258])
    expect(Array.from(tokenizer.encode('<s>')).every((id) => id < firstSpecial)).toBe(true)
    expect(Array.from(tokenizer.encode('<think>'))).toEqual([259])
    expect(tokenizer.decode([257, 259, 65])).toBe('<think>A')
    expect(tokenizer.decode([257, 259], { specialTokens: true })).toBe('<s>><think>')
    expect([0, 256, 259].map((id) => tokenizer.tokenKind(id))).toEqual(['normal', 'control', 'user-defined'])
  })

  it('take whole pieces before merging where the family does', () => {
    const merges = ['a b', 'b c', 'ab c', 'x y']
    const whole = small({ merges: [...merges, 'a bc'], pre: 'llama-bpe' })
    const merged = small({ merges: [...merges, 'a bc'], pre: 'qwen2' })
    const names = (tokenizer: Tokenizer, text: string) =>
      Array.from(tokenizer.encode(text), (id) => tokenizer.decode([id]))
    expect(names(whole, 'abc')).toEqual(['abc'])
    expect(names(merged, 'abc')).toEqual(['abc'])
    const unreachable = vocabularyMetadata({ merges: ['x y'], pre: 'llama-bpe' })
    ;(unreachable.get('tokenizer.ggml.tokens') as string[]).push('xyz')
    unreachable.set('tokenizer.ggml.token_type', new Int32Array(258).fill(1))
    expect(Array.from(readTokenizer({ metadata: unreachable })!.encode('xyz'))).toEqual([257])
    unreachable.set('tokenizer.ggml.pre', 'qwen2')
    expect(readTokenizer({ metadata: unreachable })!.encode('xyz').length).toBe(2)
  })

  it('give the same ids when the cache has overflowed', () => {
    const tokenizer = small({ merges: MERGES })
    const words = Array.from({ length: 70_000 }, (_, i) => `w${i.toString(36)}`).join(' ')
    const first = tokenizer.encode(words)
    expect(tokenizer.encode(words)).toEqual(first)
    expect(tokenizer.decode(first)).toBe(words)
  })

  it('refuse what is not text, ids outside the vocabulary and unknown options', () => {
    const tokenizer = small()
    expect(() => tokenizer.encode(7 as unknown as string)).toThrow(OptionError)
    expect(() => tokenizer.encode('a', { special: true } as object)).toThrow('specialTokens')
    expect(() => tokenizer.decode([], { special: true } as object)).toThrow('specialTokens')
    expect(() => tokenizer.decode([256])).toThrow(OptionError)
    expect(() => tokenizer.tokenBytes(-1)).toThrow(OptionError)
    expect(() => tokenizer.tokenKind(0.5)).toThrow(OptionError)
  })
})

describe('encodeWithOffsets', () => {
  it('gives the ids of encode, and starts that agree with the bytes before each token', () => {
    const tokenizer = small({ merges: MERGES, control: ['<s>'], pre: 'smollm' })
    fc.assert(
      fc.property(fc.oneof(wellFormed, fc.string({ unit: 'binary' })), fc.boolean(), (text, specialTokens) => {
        const { ids, starts } = tokenizer.encodeWithOffsets(text, { specialTokens })
        expect(ids).toEqual(tokenizer.encode(text, { specialTokens }))
        expect(starts.length).toBe(ids.length)
        let bytesBefore = 0
        starts.forEach((start, i) => {
          const character = String.fromCodePoint(text.codePointAt(start)!)
          const startByte = Buffer.byteLength(text.slice(0, start))
          expect(startByte).toBeLessThanOrEqual(bytesBefore)
          expect(startByte + Buffer.byteLength(character)).toBeGreaterThan(bytesBefore)
          bytesBefore += tokenizer.tokenBytes(ids[i]).length
        })
      }),
      { numRuns: 1000 },
    )
  })

  it('skips bytes without a token', () => {
    const metadata = vocabularyMetadata({ merges: ['ă ą'] })
    const tokens = metadata.get('tokenizer.ggml.tokens') as string[]
    // U+0004 loses its token.
    tokens[4] = '[unused]'
    const tokenizer = readTokenizer({ metadata })!
    expect(tokenizer.missingBytes).toEqual([4])
    const { ids, starts } = tokenizer.encodeWithOffsets('\u0004\u0003\u0004\u0005')
    expect([Array.from(ids), Array.from(starts)]).toEqual([
      [3, 5],
      [1, 3],
    ])
    expect(tokenizer.decode(tokenizer.encode('a\u0004b'))).toBe('ab')
    expect(tokenizer.encode('\u0003\u0004\u0005').length).toBe(2)
  })
})

describe('readTokenizer', () => {
  it('is null for a model without text', () => {
    expect(readTokenizer({ metadata: new Map([['tokenizer.ggml.model', 'no_vocab']]) })).toBeNull()
    expect(readTokenizer({ metadata: new Map() })).toBeNull()
  })

  it.each<[string, string, GgufValue, string]>([
    ['another kind of tokenizer', 'tokenizer.ggml.model', 'llama', 'unsupported-tokenizer'],
    ['an unknown pre-tokenizer', 'tokenizer.ggml.pre', 'unheard-of', 'unsupported-tokenizer'],
    ['tokens that are not strings', 'tokenizer.ggml.tokens', Int32Array.of(1), 'wrong-key-type'],
    ['too few token types', 'tokenizer.ggml.token_type', Int32Array.of(1), 'bad-vocabulary'],
    ['an unknown token type', 'tokenizer.ggml.token_type', new Int32Array(256).fill(9), 'bad-vocabulary'],
    ['a merge of unknown tokens', 'tokenizer.ggml.merges', ['a zz'], 'bad-vocabulary'],
    ['an end token outside the vocabulary', 'tokenizer.ggml.eos_token_id', 256, 'bad-value'],
  ])('refuses %s', (_, key, value, kind) => {
    const metadata = vocabularyMetadata({}).set(key, value)
    expect(() => readTokenizer({ metadata })).toThrow(expect.objectContaining({ kind }))
  })

  it('adds a beginning token where the file or the family says so', () => {
    expect(small({ pre: 'llama-bpe' }).addsBos).toBe(true)
    expect(small({ pre: 'qwen2' }).addsBos).toBe(false)
    const metadata = vocabularyMetadata({ pre: 'llama-bpe' }).set('tokenizer.ggml.add_bos_token', false)
    expect(readTokenizer({ metadata })!.addsBos).toBe(false)
  })
})

/** The same vocabulary in the library's own format. */
function libraryTokenizer(metadata: ReadonlyMap<string, GgufValue>): LibraryTokenizer {
  const tokens = metadata.get('tokenizer.ggml.tokens') as string[]
  const types = metadata.get('tokenizer.ggml.token_type') as Int32Array
  const special = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  const description = {
    added_tokens: tokens.map((content, id) => ({ id, content, ...special })).filter(({ id }) => types[id] === 3),
    pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, byteLevel] },
    normalizer: null,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      unk_token: null,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: metadata.get('tokenizer.ggml.merges') as string[],
    },
  }
  return new LibraryTokenizer(description, {})
}
