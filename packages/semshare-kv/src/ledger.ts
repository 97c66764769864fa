import type { DonorTokens } from './align/align-runs.ts'
import { type BreakerOptions, Breakers } from './breaker.ts'

/** What a policy has seen so far, over all its sequences. */
export interface ReuseCounts {
  readonly asked: number
  /** Plans offered; an engine that cannot carry one out says so in its own report. */
  readonly offered: number
  /** Of these, plans that borrow an exact prefix and nothing else. */
  readonly exact: number
  readonly declined: number
  /** Offered, and given up after the probe layers. */
  readonly givenUp: number
  readonly audits: number
  readonly badAudits: number
  /** Donors that are lent no more because the audit of their first use was bad. */
  readonly distrusted: number
  readonly openBreakers: number
}

export interface LedgerOptions extends BreakerOptions {
  readonly auditFirstUse: boolean
  readonly auditShare: number
  readonly auditKlNats: number
  readonly seed: number
}

/** The memory that the sequences of one policy share: counters, audited donors and breakers. */
export class Ledger {
  readonly breakers: Breakers
  readonly #options: LedgerOptions
  readonly #audited = new WeakSet<DonorTokens>()
  readonly #distrusted = new WeakSet<DonorTokens>()
  readonly #counts = { asked: 0, offered: 0, exact: 0, declined: 0, givenUp: 0, audits: 0, badAudits: 0, distrusted: 0 }

  constructor(options: LedgerOptions) {
    this.#options = options
    this.breakers = new Breakers(options)
  }

  count(what: 'asked' | 'offered' | 'exact' | 'declined' | 'givenUp'): void {
    this.#counts[what]++
  }

  counts(): ReuseCounts {
    return { ...this.#counts, openBreakers: this.breakers.numOpen }
  }

  trusts(donor: DonorTokens): boolean {
    return !this.#distrusted.has(donor)
  }

  /** Whether this use of the donors is to be audited: the first of any of them, and a share of the others. */
  wantsAudit(donors: readonly DonorTokens[]): boolean {
    const { auditFirstUse, auditShare, seed } = this.#options
    if (auditFirstUse && donors.some((donor) => !this.#audited.has(donor))) return true
    return fraction(seed, this.#counts.offered) < auditShare
  }

  /** Takes the outcome of an audit; donors that fail at their first are lent no more. */
  takeAudit(workload: string, donors: readonly DonorTokens[], klNats: number, isTrial = false): void {
    const isBad = !(klNats <= this.#options.auditKlNats)
    this.#counts.audits++
    if (isBad) this.#counts.badAudits++
    for (const donor of donors) {
      if (isBad && !this.#audited.has(donor) && this.trusts(donor)) {
        this.#distrusted.add(donor)
        this.#counts.distrusted++
      }
      this.#audited.add(donor)
    }
    this.breakers.tell(workload, isBad, isTrial)
  }
}

/** A number in [0, 1) that looks random, of the seed and a count. */
function fraction(seed: number, count: number): number {
  let mixed = Math.imul(seed ^ Math.imul(count + 1, 0x9e3779b9), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32
}
