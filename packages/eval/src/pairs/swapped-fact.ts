import type { SwappedFact } from './pair-case.ts'
import type { PairEngine } from './pair-engine.ts'

/** A swapped fact as tokens. */
export interface FactTokens {
  /** The reply as far as both answers are the same. */
  readonly forced: Int32Array
  /** The token by which the answers part, by target and by donor. */
  readonly target: number
  readonly donor: number
}

/** Throws TypeError for answers of which one begins with the other. */
export function factTokens(fact: SwappedFact, engine: Pick<PairEngine, 'encode'>): FactTokens {
  const target = engine.encode(fact.answerPrefix + fact.targetAnswer)
  const donor = engine.encode(fact.answerPrefix + fact.donorAnswer)
  let at = 0
  while (at < target.length && target[at] === donor[at]) at++
  if (at === target.length || at === donor.length) {
    throw new TypeError(`no token tells "${fact.targetAnswer}" from "${fact.donorAnswer}"`)
  }
  return { forced: target.slice(0, at), target: target[at], donor: donor[at] }
}

export type Follows = 'target' | 'donor' | 'other'

/** Whose fact a reply gives: the one that it names first. */
export function followedFact(reply: string, { targetAnswer, donorAnswer }: SwappedFact): Follows {
  const text = reply.toLowerCase()
  const placeOf = (answer: string) => {
    const at = text.indexOf(answer.trim().toLowerCase())
    return at < 0 ? Number.POSITIVE_INFINITY : at
  }
  const [target, donor] = [placeOf(targetAnswer), placeOf(donorAnswer)]
  if (target === donor) return 'other'
  return target < donor ? 'target' : 'donor'
}

/** ln p(target's answer) - ln p(donor's) at the token by which they part: above 0 the target's is the likelier one. */
export function answerMargin(logits: Float32Array, { target, donor }: FactTokens): number {
  return logits[target] - logits[donor]
}
