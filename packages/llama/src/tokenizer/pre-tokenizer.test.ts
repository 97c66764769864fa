import { Tokenizer } from '@huggingface/tokenizers'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ModelError } from '../model-error.ts'
import { byteAlphabet } from './byte-alphabet.ts'
import { preTokenizer } from './pre-tokenizer.ts'

const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true }

/** How the models' own tokenizer files describe their pre-tokenizers. */
const split = (digits: string) => ({
  type: 'Sequence',
  pretokenizers: [
    {
      type: 'Split',
      pattern: {
        Regex: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
      },
      behavior: 'Isolated',
      invert: false,
    },
    { ...BYTE_LEVEL, use_regex: false },
  ],
})
const PUBLISHED = {
  'gpt-2': { ...BYTE_LEVEL, use_regex: true },
  smollm: {
    type: 'Sequence',
    pretokenizers: [
      { type: 'Digits', individual_digits: true },
      { ...BYTE_LEVEL, use_regex: true },
    ],
  },
  'llama-bpe': split('\\p{N}{1,3}'),
  qwen2: split('\\p{N}'),
}

const letters = fc.constantFrom(..."abzAZ019 \t\n\r'.,-_<|>sSdDlLvVeEtTmMrR")
const odd = fc.constantFrom(
  '\u00a0',
  '\u3000',
  '\u200b',
  'é',
  'e\u0301',
  'ß',
  '²',
  '½',
  'Ⅷ',
  '٣',
  '你',
  '好',
  'が',
  '한',
  '🙂',
  '👩‍👦',
  'ⅷ',
)
const texts = fc.oneof(
  fc.array(fc.oneof({ weight: 4, arbitrary: letters }, odd), { maxLength: 30 }).map((parts) => parts.join('')),
  fc.string({ unit: 'grapheme', maxLength: 30 }),
)

/**
 * What the library reads as the published descriptions mean it: its white space is JavaScript's, and its single digits
 * are ASCII alone, where the original has U+0085 but not U+FEFF, and every \p{N}.
 */
const shared = (text: string) => text.replace(/[\u0085\ufeff]|(?![0-9])\p{N}/gu, '')

describe.each(Object.entries(PUBLISHED))('%s', (name, published) => {
  const { characters } = byteAlphabet()
  const pieces = (text: string) => Array.from(text.matchAll(preTokenizer(name).pattern), ([piece]) => piece)
  const unused = { normalizer: null, post_processor: null, decoder: null }
  const model = { type: 'BPE', vocab: { a: 0 }, merges: [], unk_token: null }
  const library = new Tokenizer({ model, pre_tokenizer: published, added_tokens: [], ...unused }, {})

  it('cuts text as the published description does', () => {
    fc.assert(
      fc.property(texts.map(shared), (text) => {
        const spelled = pieces(text).map((piece) => Array.from(Buffer.from(piece), (byte) => characters[byte]).join(''))
        expect(spelled).toEqual(text === '' ? [] : library.pre_tokenizer!.pre_tokenize(text))
      }),
      { numRuns: 2000 },
    )
  })

  it('tiles any well-formed text without a gap', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        expect(pieces(text).join('')).toBe(text)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('preTokenizer', () => {
  it('takes U+0085 for white space and U+FEFF for a character, as Unicode does', () => {
    const { pattern } = preTokenizer('gpt-2')
    expect('a\u0085\u0085b'.match(pattern)).toEqual(['a', '\u0085', '\u0085', 'b'])
    expect('a\ufeff\ufeffb'.match(pattern)).toEqual(['a', '\ufeff\ufeff', 'b'])
  })

  it('smollm keeps every kind of number single, and the spaces before it whole', () => {
    expect('a  ½Ⅷ12'.match(preTokenizer('smollm').pattern)).toEqual(['a', '  ', '½', 'Ⅷ', '1', '2'])
    expect('a  b'.match(preTokenizer('smollm').pattern)).toEqual(['a', ' ', ' b'])
  })

  it('refuses an unknown name, naming the known ones', () => {
    expect(() => preTokenizer('tekken')).toThrow(ModelError)
    expect(() => preTokenizer('constructor')).toThrow('smollm')
  })
})
