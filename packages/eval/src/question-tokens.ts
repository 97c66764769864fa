import { KvasirError, type Span } from '@kvasir/core'
import type { ChatMessage, ChatTemplate, EncodedText, Tokenizer } from '@kvasir/llama'
import type { Question, QuestionCase } from './eval-case.ts'

/** One question as tokens. */
export interface TurnTokens {
  /** Fed one by one under the policy before the first new token. Empty where the prompt holds all of them. */
  readonly forced: Int32Array
  /** The first answer, at least one token, which teacher forcing feeds after them. */
  readonly gold: Int32Array
}

/** A question case as tokens. */
export interface QuestionTokens {
  /** Prefilled densely. */
  readonly prompt: Int32Array
  readonly turns: readonly TurnTokens[]
  /** Rows of the prompt in which the needles stand. */
  readonly needleRows: readonly number[]
}

export interface TextModel {
  readonly tokenizer: Pick<Tokenizer, 'encode' | 'encodeWithOffsets' | 'addsBos' | 'bosId'>
  readonly chatTemplate: Pick<ChatTemplate, 'render'>
}

/**
 * The conversation by the model's chat template, cut where the case's mode says. Mode A prefills all but the last token
 * of the user's turn, mode B the tokens that end with the context, mode P the start of the first reply too. Later
 * questions follow the right answer to the one before, so every policy reads the same text. Throws KvasirError for a
 * template that alters the text or does not append turns.
 */
export function questionTokens({ context, needles, questions, mode }: QuestionCase, model: TextModel): QuestionTokens {
  const { tokenizer, chatTemplate } = model
  const [first, ...later] = questions
  const messages: ChatMessage[] = [{ role: 'user', content: context + first.text }]
  let text = chatTemplate.render(messages)
  const userEnd = chatTemplate.render(messages, { addGenerationPrompt: false }).length
  const contextStart = text.indexOf(context)
  if (contextStart < 0 || userEnd > text.length) throw templateError('a chat template that leaves texts as they are')
  const encoded = withBos(tokenizer, tokenizer.encodeWithOffsets(text, { specialTokens: true }))
  const reply = tokenizer.encode(first.answerPrefix)
  const all = Int32Array.from([...encoded.ids, ...reply])
  const contextEnd = contextStart + context.length
  const cut = { A: tokensBefore(encoded, userEnd) - 1, B: tokensBefore(encoded, contextEnd), P: all.length }[mode]
  const turns = [{ forced: all.slice(cut), gold: goldTokens(tokenizer, first) }]
  for (const [i, question] of later.entries()) {
    const said = questions[i].answerPrefix + goldText(questions[i])
    messages.push({ role: 'assistant', content: said }, { role: 'user', content: question.text.trimStart() })
    const next = chatTemplate.render(messages)
    const before = text + said
    if (!next.startsWith(before)) throw templateError('a chat template that only appends turns')
    const rest = tokenizer.encode(next.slice(before.length), { specialTokens: true })
    const forced = Int32Array.from([...rest, ...tokenizer.encode(question.answerPrefix)])
    turns.push({ forced, gold: goldTokens(tokenizer, question) })
    text = next
  }
  const needleRows = needles.flatMap((span) => rowsOf(encoded, contextStart, span)).filter((row) => row < cut)
  return { prompt: all.slice(0, cut), turns, needleRows }
}

/** The first answer as it follows the start of the reply: after a space where that has none and is not empty. */
function goldText({ answerPrefix, answers }: Question): string {
  return /\S$/.test(answerPrefix) ? ` ${answers[0]}` : answers[0]
}

function goldTokens(tokenizer: TextModel['tokenizer'], question: Question): Int32Array {
  return tokenizer.encode(goldText(question)).slice(0, question.maxNewTokens)
}

/** Tokens that end at or before a character of the text. */
function tokensBefore({ starts }: EncodedText, end: number): number {
  let count = 0
  // A token ends where the next one starts; the last one ends with the text, which no cut is behind.
  while (count + 1 < starts.length && starts[count + 1] <= end) count++
  return count
}

/** Tokens that share a character with the span of the context. */
function rowsOf({ starts }: EncodedText, contextStart: number, { start, end }: Span): number[] {
  const rows: number[] = []
  for (let row = 0; row < starts.length; row++) {
    const tokenEnd = row + 1 < starts.length ? starts[row + 1] : Number.POSITIVE_INFINITY
    if (starts[row] < contextStart + end && tokenEnd > contextStart + start) rows.push(row)
  }
  return rows
}

/** The token in front that the model wants, unless the template wrote it; it stands for no character. */
function withBos({ addsBos, bosId }: TextModel['tokenizer'], { ids, starts }: EncodedText): EncodedText {
  if (!addsBos || bosId === null || ids[0] === bosId) return { ids, starts }
  return { ids: Int32Array.of(bosId, ...ids), starts: Int32Array.of(0, ...starts) }
}

function templateError(expected: string): KvasirError {
  return new KvasirError({ parameter: 'tokenizer.chat_template', expected, got: 'one that does not' })
}
