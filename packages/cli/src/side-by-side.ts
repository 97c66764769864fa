import type { CachePolicy } from '@kvasir/core'
import { argMax, type Comparison, compareLogits, distributionOf, type MemoryFields, memoryOf } from '@kvasir/eval'
import { encodeChat, type LlamaModel, type Sequence, TextStream } from '@kvasir/llama'
import type { LongDocument } from './long-document.ts'

/** The two ways of reading the same KV. */
export type Side = 'full' | 'policy'
const sides = ['full', 'policy'] as const

interface SideOutcome {
  readonly text: string
  /** Time of each decode step along the full cache's answer, milliseconds. */
  readonly stepMs: readonly number[]
  readonly memory: MemoryFields
}

export interface QuestionOutcome {
  readonly question: string
  readonly expects: string
  readonly sides: Readonly<Record<Side, SideOutcome>>
  /** Full cache against policy at each step along the full cache's answer. */
  readonly comparisons: readonly Comparison[]
}

/** What happens, as it happens. */
export interface SideBySideEvents {
  readonly onRead?: (numTokens: number, numTotal: number) => void
  readonly onQuestion?: (question: string) => void
  readonly onAnswer?: (side: Side) => void
  readonly onText?: (text: string) => void
}

const maxAnswerTokens = 48
/** Tokens of one prefill call, so that progress shows. */
const readTokens = 512

/**
 * Reads the document once, then answers every question twice from forks of what was read: with the full cache and under
 * the policy. Every token of an answer is drawn from a step under the policy, the first one too.
 */
export async function* answerSideBySide(
  model: LlamaModel,
  document: LongDocument,
  policy: CachePolicy,
  events: SideBySideEvents = {},
): AsyncGenerator<QuestionOutcome> {
  const prompts = document.questions.map(({ question }) => promptOf(model, document, question))
  const shared = commonStart(prompts)
  await using reader = model.createSequence()
  for (let start = 0; start < shared; start += readTokens) {
    await reader.prefill(prompts[0].subarray(start, Math.min(shared, start + readTokens)))
    events.onRead?.(reader.numTokens, shared)
  }
  for (const [i, { question, expects }] of document.questions.entries()) {
    events.onQuestion?.(question)
    const prompt = prompts[i].subarray(shared)
    await using full = await reader.fork()
    await full.prefill(prompt.subarray(0, -1))
    await using selecting = await full.fork({ policy })
    yield { question, expects, ...(await answer(model, { full, policy: selecting }, prompt, events)) }
  }
}

function promptOf(model: LlamaModel, { instruction, text }: LongDocument, question: string): Int32Array {
  return encodeChat(model, [{ role: 'user', content: `${instruction}\n\n${text}\n\n${question}` }])
}

/** How many ids all prompts begin with, leaving at least two of each. */
function commonStart(prompts: readonly Int32Array[]): number {
  const [first, ...others] = prompts
  const most = Math.min(...prompts.map(({ length }) => length)) - 2
  let length = 0
  while (length < most && others.every((other) => other[length] === first[length])) length++
  return length
}

async function answer(
  model: LlamaModel,
  sequences: Readonly<Record<Side, Sequence>>,
  prompt: Int32Array,
  events: SideBySideEvents,
): Promise<Pick<QuestionOutcome, 'sides' | 'comparisons'>> {
  const start = sequences.full.numTokens
  const last = prompt[prompt.length - 1]
  const drawn = { full: { text: '', tokens: [] as number[] }, policy: { text: '', tokens: [] as number[] } }
  for (const side of sides) {
    events.onAnswer?.(side)
    drawn[side] = await draw(model, sequences[side], last, events.onText)
    await sequences[side].rewind(start)
  }
  const { comparisons, stepMs } = await follow(sequences, [last, ...drawn.full.tokens])
  const outcomeOf = (side: Side): SideOutcome => ({
    text: drawn[side].text.trim(),
    stepMs: stepMs[side],
    memory: memoryOf(sequences[side].report(), model.config),
  })
  return { comparisons, sides: { full: outcomeOf('full'), policy: outcomeOf('policy') } }
}

/** Greedy answer after `token`, without its end token. */
async function draw(
  { tokenizer }: LlamaModel,
  sequence: Sequence,
  token: number,
  onText: (text: string) => void = () => {},
): Promise<{ text: string; tokens: number[] }> {
  const stream = tokenizer && new TextStream(tokenizer)
  const ends = tokenizer?.eosIds ?? []
  const tokens: number[] = []
  let text = ''
  let next = argMax(await sequence.decode(token))
  while (!ends.includes(next) && tokens.length < maxAnswerTokens) {
    tokens.push(next)
    const piece = stream?.push(next) ?? ''
    text += piece
    onText(piece)
    next = argMax(await sequence.decode(next))
  }
  return { text, tokens }
}

/** Feeds the same tokens to both, step by step in turn, so that both are timed under the same conditions. */
async function follow(
  { full, policy }: Readonly<Record<Side, Sequence>>,
  tokens: readonly number[],
): Promise<{ comparisons: Comparison[]; stepMs: Record<Side, number[]> }> {
  const comparisons: Comparison[] = []
  const stepMs: Record<Side, number[]> = { full: [], policy: [] }
  for (const token of tokens) {
    const reference = distributionOf(await timed(stepMs.full, () => full.decode(token)))
    const logits = await timed(stepMs.policy, () => policy.decode(token))
    comparisons.push(compareLogits(reference, logits, reference.best))
  }
  return { comparisons, stepMs }
}

async function timed<T>(times: number[], work: () => Promise<T>): Promise<T> {
  const startMs = performance.now()
  const result = await work()
  times.push(performance.now() - startMs)
  return result
}
