import type { GgufValue } from '../gguf/header.ts'
import { booleanKey, integerKey, stringKey } from '../metadata.ts'
import { ModelError } from '../model-error.ts'
import { byteAlphabet } from './byte-alphabet.ts'
import { type MergeTable, mergeTable } from './merge-table.ts'
import { type PreTokenizer, preTokenizer } from './pre-tokenizer.ts'
import { type TokenIndex, tokenIndex } from './token-index.ts'

/** What a token is for. Control tokens steer the model; user-defined ones are text that is never split. */
export type TokenKind = 'normal' | 'unknown' | 'control' | 'user-defined' | 'unused' | 'byte'

/** `tokenizer.ggml.token_type` - 1 -> kind. */
const KINDS: readonly TokenKind[] = ['normal', 'unknown', 'control', 'user-defined', 'unused', 'byte']

/** A byte-level BPE vocabulary as the file holds it, checked. */
export interface Vocabulary {
  /** [id] -> text; normal tokens spell bytes in the byte alphabet, the others stand for their own text. */
  readonly tokens: readonly string[]
  /** [id] */
  readonly kinds: readonly TokenKind[]
  readonly index: TokenIndex
  /** [byte] -> id of the token for that byte alone; -1 where the vocabulary has none. */
  readonly idOfByte: Int32Array
  readonly merges: MergeTable
  readonly pre: PreTokenizer
  readonly bosId: number | null
  readonly eosId: number | null
  readonly unknownId: number | null
  readonly paddingId: number | null
  /** Ends of generation: the end-of-sequence token and every control token that ends a turn. Ascending. */
  readonly eosIds: readonly number[]
  readonly addsBos: boolean
}

const PREFIX = 'tokenizer.ggml'

/** Control tokens that end a turn or a text in the chat formats of the families that we run. */
const TURN_ENDS: ReadonlySet<string> = new Set([
  '<|im_end|>',
  '<|endoftext|>',
  '<|eot_id|>',
  '<|eom_id|>',
  '<|end_of_text|>',
  '<|end|>',
  '<｜end▁of▁sentence｜>',
  '</s>',
])

type Metadata = ReadonlyMap<string, GgufValue>

/** Reads `tokenizer.ggml.*` of a `gpt2` tokenizer. Throws ModelError. */
export function readVocabulary(metadata: Metadata): Vocabulary {
  const tokens = stringsKey(metadata, `${PREFIX}.tokens`)
  const kinds = readKinds(metadata, tokens.length)
  const index = tokenIndex(tokens)
  const pre = preTokenizer(stringKey(metadata, `${PREFIX}.pre`, 'default'))
  const idKey = (name: string) => {
    const id = integerKey(metadata, `${PREFIX}.${name}_token_id`, -1, tokens.length - 1, -1)
    return id < 0 ? null : id
  }
  const ends = [idKey('eos'), idKey('eot'), idKey('eom')].filter((id) => id !== null)
  const turnEnds = [...TURN_ENDS].map((text) => index.find(text)).filter((id) => kinds[id] === 'control')
  return {
    tokens,
    kinds,
    index,
    idOfByte: Int32Array.from(byteAlphabet().characters, (character) => index.find(character)),
    merges: mergeTable(stringsKey(metadata, `${PREFIX}.merges`), index),
    pre,
    bosId: idKey('bos'),
    eosId: idKey('eos'),
    unknownId: idKey('unknown'),
    paddingId: idKey('padding'),
    eosIds: [...new Set([...ends, ...turnEnds])].sort((a, b) => a - b),
    addsBos: booleanKey(metadata, `${PREFIX}.add_bos_token`, pre.addsBos),
  }
}

function stringsKey(metadata: Metadata, key: string): readonly string[] {
  const value = metadata.get(key)
  if (value === undefined) throw new ModelError('missing-key', key, 'an array of strings', undefined)
  if (Array.isArray(value) && value.every((entry) => typeof entry === 'string')) return value
  throw new ModelError('wrong-key-type', key, 'an array of strings', value)
}

function readKinds(metadata: Metadata, numTokens: number): TokenKind[] {
  const key = `${PREFIX}.token_type`
  const value = metadata.get(key)
  if (value === undefined) return new Array<TokenKind>(numTokens).fill('normal')
  if (!(value instanceof Int32Array || value instanceof Uint32Array)) {
    throw new ModelError('wrong-key-type', key, 'an array of 32-bit integers', value)
  }
  if (value.length !== numTokens) throw new ModelError('bad-vocabulary', key, `${numTokens} entries`, value.length)
  return Array.from(value, (code, id) => {
    const kind = KINDS[code - 1]
    if (kind === undefined) throw new ModelError('bad-vocabulary', `${key}[${id}]`, '1 to 6', code)
    return kind
  })
}
