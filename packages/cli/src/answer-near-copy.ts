import type { CachePolicy, ReuseAudit, Scope } from '@kvasir/core'
import type { LlamaModel, ReuseReport, Sequence } from '@kvasir/llama'
import { drawAnswer, encodeQuestion } from './answer.ts'

/** How a prompt was answered. */
interface TimedAnswer {
  readonly text: string
  /** From the text of the prompt to its first new token. */
  readonly firstTokenMs: number
}

export interface NearCopyOutcome {
  readonly promptTokens: number
  readonly borrowed: TimedAnswer
  readonly full: TimedAnswer
  /** What the guard said; null where the policy was put aside. */
  readonly reuse: ReuseReport | null
  /** The distributions of the answer's first tokens held against those after a full prefill; null where the plan asked for none. */
  readonly audit: ReuseAudit | null
}

/** Where sequences lend and borrow. */
export interface Sharing {
  readonly policy: CachePolicy
  readonly scope: Scope
}

interface Prompt {
  readonly instruction: string
  readonly text: string
  readonly question: string
}

/** Makes the KV of a prompt a donor of the scope; what a sequence of the scope has read before is not computed again. */
export async function lendPrompt(model: LlamaModel, prompt: Prompt, sharing: Sharing): Promise<string | null> {
  await using sequence = model.createSequence(sharing)
  await sequence.prefill(encodeQuestion(model, prompt, prompt.question))
  return sequence.publish()
}

/** Answers the prompt from what the scope's donors lend, and once more from a prefill of its own that shares nothing. */
export async function answerNearCopy(model: LlamaModel, prompt: Prompt, sharing: Sharing): Promise<NearCopyOutcome> {
  await using borrower = model.createSequence(sharing)
  const { promptTokens, ...borrowed } = await answer(model, borrower, prompt)
  const audit = await borrower.audit()
  const { reuse } = borrower.report()
  await borrower.dispose()
  await using own = model.createSequence()
  const { text, firstTokenMs } = await answer(model, own, prompt)
  return { promptTokens, borrowed, full: { text, firstTokenMs }, reuse, audit }
}

async function answer(
  model: LlamaModel,
  sequence: Sequence,
  prompt: Prompt,
): Promise<TimedAnswer & { readonly promptTokens: number }> {
  const startMs = performance.now()
  const tokens = encodeQuestion(model, prompt, prompt.question)
  const logits = await sequence.prefill(tokens)
  const firstTokenMs = performance.now() - startMs
  const { text } = await drawAnswer(model, sequence, logits)
  return { promptTokens: tokens.length, text: text.trim(), firstTokenMs }
}
