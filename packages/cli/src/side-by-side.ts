import type { CachePolicy, Scope } from '@kvasir/core'
import { type Comparison, compareLogits, distributionOf, type MemoryFields, memoryOf } from '@kvasir/eval'
import type { LlamaModel, Sequence } from '@kvasir/llama'
import { drawAnswer, encodeQuestion } from './answer.ts'
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

export interface SideBySideOptions {
  /** Who may share what is read. @default nobody */
  readonly scope?: Scope
  /** What happens, as it happens. */
  readonly onRead?: (numTokens: number, numTotal: number) => void
  readonly onQuestion?: (question: string) => void
  readonly onAnswer?: (side: Side) => void
  readonly onText?: (text: string) => void
}

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
  { scope, ...events }: SideBySideOptions = {},
): AsyncGenerator<QuestionOutcome> {
  const prompts = document.questions.map(({ question }) => encodeQuestion(model, document, question))
  const shared = commonStart(prompts)
  await using reader = model.createSequence(scope && { scope })
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
  events: SideBySideOptions,
): Promise<Pick<QuestionOutcome, 'sides' | 'comparisons'>> {
  const start = sequences.full.numTokens
  const last = prompt[prompt.length - 1]
  const none: Awaited<ReturnType<typeof drawAnswer>> = { text: '', tokens: [] }
  const drawn = { full: none, policy: none }
  for (const side of sides) {
    events.onAnswer?.(side)
    drawn[side] = await drawAnswer(model, sequences[side], await sequences[side].decode(last), events.onText)
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
