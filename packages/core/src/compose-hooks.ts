import { droppedSpans } from './dropped-spans.ts'
import { PlanError } from './errors.ts'
import type { Decline, RetainPlan, ReusePlan, RowSet, Selection } from './plans.ts'
import type { CachePolicy, PolicySession } from './policy.ts'
import { intersectRuns, type RunList, spansOfRow } from './run-list.ts'
import type { Span } from './segment.ts'
import { complementSpans, mergeSpans, validateSpans } from './spans.ts'
import type { KvReader, LayerReport, PrefillView, PromptView, ReuseAudit, StepView } from './views.ts'

export interface Part {
  readonly policy: CachePolicy
  readonly session: PolicySession
}

/** Asks one after the other for borrowed KV until one has some; that one also says what is recomputed. */
export function askLadder(parts: readonly Part[]): Required<Pick<PolicySession, 'reuse' | 'recompute' | 'audit'>> {
  let winner: PolicySession | undefined
  return {
    async reuse(prompt: PromptView): Promise<ReusePlan | Decline> {
      const reasons: string[] = []
      winner = undefined
      for (const { policy, session } of parts) {
        const plan = await session.reuse!(prompt)
        if (plan.kind === 'reuse') {
          winner = session
          return plan
        }
        reasons.push(`${policy.name}: ${plan.reason}`)
      }
      return { kind: 'decline', reason: reasons.join('; ') }
    },
    recompute: (report: LayerReport): RowSet | Decline => winner?.recompute?.(report) ?? report.rows,
    audit: (audit: ReuseAudit): void => winner?.audit?.(audit),
  }
}

/**
 * Shows the chunk to all, each with the rows gone that those before it dropped; what any evicts is evicted, and what
 * all keep is kept. Selectors come last, so that what they know of the rows is of those that are left.
 */
export function askRetention(parts: readonly Part[]): NonNullable<PolicySession['retain']> {
  const selects = ({ policy }: Part) => policy.effects.slots.includes('select')
  const ordered = [...parts.filter((part) => !selects(part)), ...parts.filter(selects)]
  return async (view: PrefillView): Promise<RetainPlan> => {
    const reasons: string[] = []
    let evict: Span[] = []
    let keep: readonly RunList[] | undefined
    for (const { policy, session } of ordered) {
      const plan = await session.retain!({ ...view, kv: withoutRows(view.kv, evict, keep) })
      validateSpans(`${policy.name}: plan.evict`, plan.evict ?? [], view.kv.numTokens)
      evict = mergeSpans(evict, plan.evict ?? [])
      const kept = keep
      keep =
        kept === undefined ? plan.keep : (plan.keep?.map((list, layer) => intersectRuns(list, kept[layer])) ?? kept)
      if (plan.reason !== undefined) reasons.push(`${policy.name}: ${plan.reason}`)
    }
    return {
      ...(evict.length > 0 && { evict }),
      ...(keep && { keep }),
      ...(reasons.length > 0 && { reason: reasons.join('; ') }),
    }
  }
}

/**
 * Lets the first choose and the others narrow its choice. In a stack asked at each layer, a selector of scope `step` is
 * asked once a step, at layer 0, and its choice stands for the other layers.
 */
export function askChosen(parts: readonly Part[], scope: 'step' | 'layer'): NonNullable<PolicySession['select']> {
  let ofStep: { numTokens: number; selection: Selection } | null = null
  return (step: StepView): Selection => {
    let chosen: Selection | undefined = step.chosen
    for (const part of parts) {
      const once = scope === 'layer' && part.policy.effects.selectScope === 'step' && part === parts[0]
      if (once && ofStep?.numTokens === step.numTokens && step.layer !== 0) chosen = ofStep.selection
      else chosen = part.session.select!(viewFor(part, step, chosen))
      if (once) ofStep = { numTokens: step.numTokens, selection: chosen }
      if (chosen.kind === 'native' && part !== parts.at(-1)) throw unrefinable(part)
    }
    return chosen ?? { kind: 'all' }
  }
}

function unrefinable({ policy }: Part): PlanError {
  return new PlanError({
    parameter: `${policy.name}: selection.kind`,
    expected: 'all or runs, where other policies refine it',
    got: 'native',
    remedy: 'Declare effects.selectsNatively, so that the stack is refused when it is built.',
  })
}

function viewFor({ policy }: Part, step: StepView, chosen: Selection | undefined): StepView {
  const scoped = policy.effects.selectScope === 'layer' ? step : withoutLayer(step)
  return chosen === undefined || !policy.effects.refines ? scoped : { ...scoped, chosen }
}

function withoutLayer({ numTokens, piece, chosen, kv }: StepView): StepView {
  return { layer: null, numTokens, queries: null, piece, kv, ...(chosen && { chosen }) }
}

function withoutRows(kv: KvReader, evict: readonly Span[], keep: readonly RunList[] | undefined): KvReader {
  if (evict.length === 0 && keep === undefined) return kv
  const notKept = (layer: number, kvHead: number) =>
    keep === undefined ? [] : complementSpans(spansOfRow(keep[layer], kvHead), kv.numTokens)
  return {
    numTokens: kv.numTokens,
    evicted: mergeSpans(kv.evicted ?? [], evict),
    dropped: (layer, kvHead) => mergeSpans(droppedSpans(kv, layer, kvHead), evict, notKept(layer, kvHead)),
    keys: (layer, kvHead, start, end) => kv.keys(layer, kvHead, start, end),
    values: (layer, kvHead, start, end) => kv.values(layer, kvHead, start, end),
    ...(kv.native !== undefined && { native: kv.native }),
  }
}
