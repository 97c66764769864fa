import { ComposeError } from './errors.ts'
import type { CachePolicy, Effects, ObservedAttention, Slot } from './policy.ts'

const slotOrder: readonly Slot[] = ['reuse', 'recompute', 'retain', 'select', 'append', 'place', 'publish']

/** What a stack may do, from what its parts may do. Throws a ComposeError if they cannot stand together in this order. */
export function composeEffects(policies: readonly CachePolicy[]): Effects {
  if (policies.length === 0)
    throw refusal('at least one policy', 'none', 'For the full cache, pass no policy to the engine.')
  for (const slot of ['place', 'publish'] as const) checkAtMostOne(policies, slot)
  checkSelectors(policies.filter(({ effects }) => effects.slots.includes('select')))
  const effects = policies.map((policy) => policy.effects)
  const scopes = effects.flatMap(({ selectScope }) => selectScope ?? [])
  return Object.freeze({
    slots: slotOrder.filter((slot) => effects.some(({ slots }) => slots.includes(slot))),
    fidelity: effects.some(({ fidelity }) => fidelity === 'lossy') ? 'lossy' : 'exact',
    ...(scopes.length > 0 && { selectScope: scopes.includes('layer') ? ('layer' as const) : ('step' as const) }),
    ...(effects.some(({ observes }) => observes) && { observes: joinObserved(effects) }),
    ...(effects.some(({ refines }) => refines) && { refines: selectorsOf(effects).every(({ refines }) => refines) }),
    ...(effects.some(({ selectsNatively }) => selectsNatively) && { selectsNatively: true }),
  })
}

function joinObserved(effects: readonly Effects[]): ObservedAttention {
  return {
    windowTokens: Math.max(0, ...effects.map(({ observes }) => observes?.windowTokens ?? 0)),
    allRows: effects.some(({ observes }) => observes?.allRows),
    recomputed: effects.some(({ observes }) => observes?.recomputed),
  }
}

function selectorsOf(effects: readonly Effects[]): Effects[] {
  return effects.filter(({ slots }) => slots.includes('select'))
}

/** One selector at most, first; then policies that refine. */
function checkSelectors(policies: readonly CachePolicy[]): void {
  const [first, ...later] = policies
  const second = later.find(({ effects }) => !effects.refines)
  if (second === undefined) {
    if (later.length === 0 || !first.effects.selectsNatively) return
    const remedy = `Leave ${later[0].name} out, or turn native selection off in ${first.name}.`
    throw refusal('a selector whose choice can be refined', first.name, remedy)
  }
  const remedy = first.effects.refines
    ? `Put ${second.name} before ${first.name}: a selector chooses, then others refine.`
    : `${settingsWithoutSelect([first, second])}Keep one of ${first.name} and ${second.name}, or let the second declare effects.refines and start from step.chosen.`
  throw refusal('one selector, before the policies that refine it', `${first.name}, then ${second.name}`, remedy)
}

/** What to set so that one of the policies leaves choosing to the other. */
function settingsWithoutSelect(policies: readonly CachePolicy[]): string {
  return policies
    .filter(({ effects }) => effects.withoutSelect !== undefined)
    .map(({ name, effects }) => `Give ${name} ${effects.withoutSelect}: then it selects nothing. `)
    .join('')
}

function checkAtMostOne(policies: readonly CachePolicy[], slot: 'place' | 'publish'): void {
  const names = policies.filter(({ effects }) => effects.slots.includes(slot)).map(({ name }) => name)
  if (names.length < 2) return
  throw refusal(`at most one policy that fills ${slot}`, names.join(', '), `Keep one of ${names.join(', ')}.`)
}

function refusal(expected: string, got: string, remedy: string): ComposeError {
  return new ComposeError({ parameter: 'compose', expected, got, remedy })
}
