import { ModelError } from '../model-error.ts'

/** How text is cut into pieces before merging; no merge crosses the border of a piece. */
export interface PreTokenizer {
  /** Global, and its matches tile any well-formed text without a gap. */
  readonly pattern: RegExp
  /** A piece that is a token as it stands is taken whole, whatever the merges would give. */
  readonly ignoreMerges: boolean
  /** Whether a beginning-of-sequence token belongs in front where the file does not say. */
  readonly addsBos: boolean
}

// \s of these expressions is Unicode White_Space; JavaScript's own \s differs at U+0085 and U+FEFF.
const SPACE = '\\p{White_Space}'
const OTHER = `[^${SPACE}\\p{L}\\p{N}]`
const TRAILING_SPACE = `${SPACE}+(?!\\P{White_Space})|${SPACE}+`

/** GPT-2 (Radford et al. 2019). */
const GPT2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?${OTHER}+|${TRAILING_SPACE}`

/**
 * SmolLM: every digit by itself first, then GPT-2's expression on what lies between. As one expression: a digit takes no
 * leading space, and a run of spaces before a digit ends its stretch, so it is not shortened by one.
 */
const SMOLLM = `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+|\\p{N}| ?${OTHER}+|${SPACE}+(?![^${SPACE}\\p{N}])|${SPACE}+`

/** Llama 3 and Qwen2, which differ in how many digits go together. U+017F is an s to a case-insensitive match. */
const TIKTOKEN = (digits: string) =>
  `'(?:[sS\u017F]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])` +
  `|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?${OTHER}+[\\r\\n]*|${SPACE}*[\\r\\n]+|${TRAILING_SPACE}`

const PRE_TOKENIZERS: Readonly<Record<string, { source: string; ignoreMerges?: boolean; addsBos?: boolean }>> = {
  default: { source: GPT2 },
  'gpt-2': { source: GPT2 },
  smollm: { source: SMOLLM },
  'llama-bpe': { source: TIKTOKEN('\\p{N}{1,3}'), ignoreMerges: true, addsBos: true },
  llama3: { source: TIKTOKEN('\\p{N}{1,3}'), ignoreMerges: true, addsBos: true },
  qwen2: { source: TIKTOKEN('\\p{N}') },
  'deepseek-r1-qwen': { source: TIKTOKEN('\\p{N}') },
}

/** The pre-tokenizer that a file names in `tokenizer.ggml.pre`. Throws ModelError for a name that is not known. */
export function preTokenizer(name: string): PreTokenizer {
  const entry = Object.hasOwn(PRE_TOKENIZERS, name) ? PRE_TOKENIZERS[name] : undefined
  if (entry === undefined) {
    const known = `one of ${Object.keys(PRE_TOKENIZERS).join(', ')}`
    throw new ModelError('unsupported-tokenizer', 'tokenizer.ggml.pre', known, name, 'Pass token ids instead of text.')
  }
  return {
    pattern: new RegExp(entry.source, 'gu'),
    ignoreMerges: entry.ignoreMerges ?? false,
    addsBos: entry.addsBos ?? false,
  }
}
