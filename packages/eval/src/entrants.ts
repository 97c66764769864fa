import type { DecodeStep, LlamaModel, Sequence } from '@kvasir/llama'
import { observedBy } from './case-run.ts'
import { type Arm, makePolicy } from './policy-spec.ts'

/** A sequence that takes part in a case, and the model that holds it. */
export interface Entrant {
  readonly model: LlamaModel
  readonly sequence: Sequence
  /** What its steps moved up from a lower tier; null where its rows lie in memory. */
  movedBytes: number | null
}

/** The prompt, prefilled densely under no policy. */
export interface PrefilledPrompt {
  readonly model: LlamaModel
  readonly full: Sequence
  readonly tokens: Int32Array
}

/**
 * A fork of the prompt under an arm's policy. With `tiered` the prompt is prefilled there once more and forked there: steps
 * of the full cache then heat no rows for the policy.
 */
export async function enterArm(
  arm: Arm,
  { model, full, tokens }: PrefilledPrompt,
  tiered: LlamaModel | undefined,
  options: { readonly signal?: AbortSignal },
): Promise<Entrant> {
  const policy = makePolicy(arm)
  if (!tiered) return { model, sequence: await full.fork({ policy }), movedBytes: null }
  await using dense = tiered.createSequence({ observe: observedBy([arm]) })
  await dense.prefill(tokens, options)
  return { model: tiered, sequence: await dense.fork({ policy }), movedBytes: 0 }
}

export interface EntrantStep {
  readonly entrant: Entrant
  readonly token: number
  readonly onSelected?: DecodeStep['onSelected']
}

/**
 * Decodes one step of each entrant and returns the logits that follow: those in memory in one pass, those over a lower
 * tier one by one, which tells what each moved up.
 */
export async function decodeEntrants(
  steps: readonly EntrantStep[],
  options: { readonly signal?: AbortSignal },
): Promise<Float32Array[]> {
  const logits = new Map<EntrantStep, Float32Array>()
  const decode = async (some: readonly EntrantStep[]) => {
    if (some.length === 0) return
    const decoded = some.map(({ entrant, token, onSelected }) => entrant.sequence.step(token, onSelected))
    const rows = await some[0].entrant.model.decode(decoded, options)
    some.forEach((step, i) => {
      logits.set(step, rows[i])
    })
  }
  await decode(steps.filter(({ entrant }) => entrant.movedBytes === null))
  for (const step of steps) {
    const { entrant } = step
    if (entrant.movedBytes === null) continue
    const before = movedBytesOf(entrant.model)
    await decode([step])
    entrant.movedBytes += movedBytesOf(entrant.model) - before
  }
  return steps.map((step) => logits.get(step) as Float32Array)
}

function movedBytesOf(model: LlamaModel): number {
  return model.tierCounts()?.movedBytes ?? 0
}
