import type { EstimateRule } from '../../kernel-selector.ts'
import type { Choice } from './choose-tokens.ts'

/** Mean or exponential average of one layer's queries since a segment closed or the sequence was cut back. */
export class RunningQuery {
  #q = new Float32Array(0)
  #steps = 0
  #numSegments = 0
  #numTokens = 0

  /** Takes the query of a step in; returns the running one. */
  next(q: Float32Array, numTokens: number, numSegments: number, rule: EstimateRule): Float32Array {
    if (numSegments !== this.#numSegments || numTokens <= this.#numTokens) this.#steps = 0
    this.#numSegments = numSegments
    this.#numTokens = numTokens
    this.#steps++
    const share = this.#steps === 1 ? 1 : rule.query === 'mean' ? 1 / this.#steps : 1 - rule.emaDecay
    const last = this.#steps === 1 ? q : this.#q
    this.#q = last.map((x, i) => x + share * (q[i]! - x))
    return this.#q
  }

  clone(): RunningQuery {
    const copy = new RunningQuery()
    copy.#q = this.#q
    copy.#steps = this.#steps
    copy.#numSegments = this.#numSegments
    copy.#numTokens = this.#numTokens
    return copy
  }
}

/** One layer's choice, which may answer the steps that follow. */
export class StandingChoice {
  #choice: Choice | undefined
  #q = new Float32Array(0)
  #steps = 0
  #numTokens = 0

  /** The choice, if it answers this step: the next one, within rerankSteps, by a query that has not drifted. */
  answer(q: Float32Array, numTokens: number, { rerankSteps, driftLimit }: EstimateRule): Choice | undefined {
    if (this.#steps === 0 || this.#steps >= rerankSteps || numTokens !== this.#numTokens + 1) return undefined
    if (cosine(this.#q, q) < driftLimit) return undefined
    this.#steps++
    this.#numTokens = numTokens
    return this.#choice
  }

  stand(choice: Choice, q: Float32Array, numTokens: number): void {
    this.#choice = choice
    this.#q = q.slice()
    this.#steps = 1
    this.#numTokens = numTokens
  }

  clone(): StandingChoice {
    const copy = new StandingChoice()
    copy.#choice = this.#choice
    copy.#q = this.#q
    copy.#steps = this.#steps
    copy.#numTokens = this.#numTokens
    return copy
  }
}

/** -1 where a vector is 0. */
function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i]!, 0)
  const norms = dot(a, a) * dot(b, b)
  return norms > 0 ? dot(a, b) / Math.sqrt(norms) : -1
}
