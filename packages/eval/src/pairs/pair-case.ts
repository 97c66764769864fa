/** What the two prompts of a pair have in common. */
export const pairKinds = [
  'identical',
  'onestop',
  'nt',
  'multinews',
  'reorder',
  'shift',
  'replace',
  'swap',
  'unrelated',
] as const

export type PairKind = (typeof pairKinds)[number]

/** The user's turn of one prompt. */
export interface PairPrompt {
  readonly content: string
  /** Text of which the first tokens are put in where `content` has `frontMark`. @default nothing */
  readonly front?: { readonly text: string; readonly tokens: number }
}

/** Stands in a content where tokens are to be put in; no text of the data has it. */
export const frontMark = '\u0001'

/** The one fact by which a target differs from its donor, and how the reply names it. */
export interface SwappedFact {
  /** Start of the reply up to the fact. */
  readonly answerPrefix: string
  /** How the reply goes on by the target, with the space in front. */
  readonly targetAnswer: string
  /** By the donor. */
  readonly donorAnswer: string
}

/** A prompt that was read before, and one that may borrow from it. */
export interface PairCase {
  readonly suite: 'pairs'
  readonly id: string
  /** About the tokens of the target. */
  readonly length: number
  readonly mode: null
  readonly kind: PairKind
  /** Which sort of the kind. */
  readonly variant: string
  readonly donor: PairPrompt
  readonly target: PairPrompt
  /** Of kind `swap`. */
  readonly fact: SwappedFact | null
}

/** What both prompts of most kinds ask. */
export const summarizeRequest = 'Summarize the following text in three sentences.'

export function summarize(text: string): PairPrompt {
  return { content: `${summarizeRequest}\n\n${text}` }
}

export function pairCase(
  kind: PairKind,
  variant: string,
  length: number,
  name: string,
  prompts: { readonly donor: PairPrompt; readonly target: PairPrompt; readonly fact?: SwappedFact },
): PairCase {
  const { donor, target, fact = null } = prompts
  return {
    ...{ suite: 'pairs', id: `${kind}/${variant}/${length}/${name}`, length, mode: null },
    ...{ kind, variant, donor, target, fact },
  }
}
