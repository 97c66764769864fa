/** Audits that are looked back on. */
const recentAudits = 8

interface State {
  /** Whether each of the last audits was bad, the latest last. */
  readonly recent: boolean[]
  /** Time at which one trial is allowed; null: closed. */
  nextTrialMs: number | null
}

export interface BreakerOptions {
  /** Bad ones of the last 8 audits that open a breaker. */
  readonly badAudits: number
  /** Time from opening to a trial, and between trials. */
  readonly coolDownMs: number
  readonly now: () => number
}

/** Breakers by key: closed until audits are bad, then open but for one trial a cool-down, until a trial's audit is good. */
export class Breakers {
  readonly #options: BreakerOptions
  readonly #states = new Map<string, State>()

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  /** Nothing may pass, not even a trial. */
  isOpen(key: string): boolean {
    const nextTrialMs = this.#states.get(key)?.nextTrialMs ?? null
    return nextTrialMs !== null && this.#options.now() < nextTrialMs
  }

  /** trial: go on, and have it audited. */
  pass(key: string): 'closed' | 'trial' | 'open' {
    const state = this.#states.get(key)
    if (!state || state.nextTrialMs === null) return 'closed'
    if (this.isOpen(key)) return 'open'
    const { now, coolDownMs } = this.#options
    state.nextTrialMs = now() + coolDownMs
    return 'trial'
  }

  /** Audits of uses from before it opened may still come in: only that of a trial closes. */
  tell(key: string, isBad: boolean, isTrial = false): void {
    const state = this.#states.get(key) ?? { recent: [], nextTrialMs: null }
    this.#states.set(key, state)
    if (state.nextTrialMs !== null && !isBad) {
      if (isTrial) this.#states.delete(key)
      return
    }
    state.recent.push(isBad)
    if (state.recent.length > recentAudits) state.recent.shift()
    const { badAudits, coolDownMs, now } = this.#options
    if (state.recent.filter(Boolean).length >= badAudits) state.nextTrialMs = now() + coolDownMs
  }

  get numOpen(): number {
    return [...this.#states.values()].filter(({ nextTrialMs }) => nextTrialMs !== null).length
  }
}
