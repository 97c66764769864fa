import { describe, expect, test } from 'vitest'
import { Breakers } from './breaker.ts'
import { Ledger } from './ledger.ts'

function breakers(badAudits = 2) {
  const clock = { nowMs: 0 }
  return { clock, all: new Breakers({ badAudits, coolDownMs: 100, now: () => clock.nowMs }) }
}

describe('a breaker', () => {
  test('opens at the second bad audit of the last eight, for its own key alone', () => {
    const { all } = breakers()
    all.tell('a', true)
    for (let i = 0; i < 8; i++) all.tell('a', false)
    all.tell('a', true)
    expect(all.pass('a')).toBe('closed')
    all.tell('a', true)
    expect(all.pass('a')).toBe('open')
    expect(all.isOpen('a')).toBe(true)
    expect(all.pass('b')).toBe('closed')
    expect(all.numOpen).toBe(1)
  })

  test('lets one trial through a cool-down, and closes at a good one', () => {
    const { all, clock } = breakers(1)
    all.tell('a', true)
    clock.nowMs = 100
    expect(all.isOpen('a')).toBe(false)
    expect(all.pass('a')).toBe('trial')
    expect(all.pass('a')).toBe('open')
    all.tell('a', true)
    clock.nowMs = 199
    expect(all.pass('a')).toBe('open')
    clock.nowMs = 200
    expect(all.pass('a')).toBe('trial')
    all.tell('a', false, true)
    expect(all.pass('a')).toBe('closed')
    expect(all.numOpen).toBe(0)
  })

  test('does not close at a good audit of a use from before it opened', () => {
    const { all, clock } = breakers(1)
    all.tell('a', true)
    all.tell('a', false)
    expect(all.pass('a')).toBe('open')
    clock.nowMs = 100
    expect(all.pass('a')).toBe('trial')
    all.tell('a', false)
    expect(all.pass('a')).toBe('open')
  })

  test('gives the next trial where one was never audited', () => {
    const { all, clock } = breakers(1)
    all.tell('a', true)
    clock.nowMs = 100
    expect(all.pass('a')).toBe('trial')
    clock.nowMs = 200
    expect(all.pass('a')).toBe('trial')
  })
})

describe('the ledger', () => {
  const donor = () => ({ id: 'd', tokens: new Int32Array(1) })
  const ledgerOf = (more = {}) =>
    new Ledger({
      auditFirstUse: true,
      auditShare: 0,
      auditKlNats: 0.1,
      seed: 1,
      badAudits: 2,
      coolDownMs: 100,
      now: () => 0,
      ...more,
    })

  test('wants the first use of each donor audited, and no other without a share', () => {
    const ledger = ledgerOf()
    const [a, b] = [donor(), donor()]
    expect(ledger.wantsAudit([a])).toBe(true)
    ledger.takeAudit('w', [a], 0.01)
    expect(ledger.wantsAudit([a])).toBe(false)
    expect(ledger.wantsAudit([a, b])).toBe(true)
    expect(ledgerOf({ auditFirstUse: false }).wantsAudit([a])).toBe(false)
  })

  test('wants about the share of the others audited, the same ones for a seed', () => {
    const choices = (seed: number) => {
      const ledger = ledgerOf({ auditFirstUse: false, auditShare: 0.1, seed })
      return Array.from({ length: 4000 }, () => {
        ledger.count('offered')
        return ledger.wantsAudit([])
      })
    }
    // 400 expected, standard deviation 19.
    expect(Math.abs(choices(1).filter(Boolean).length - 400)).toBeLessThan(76)
    expect(choices(1)).toEqual(choices(1))
    expect(choices(1)).not.toEqual(choices(2))
  })

  test('trusts no donor whose first audit was bad, or no number', () => {
    const ledger = ledgerOf()
    const [bad, strange, good] = [donor(), donor(), donor()]
    ledger.takeAudit('w', [bad], 0.2)
    ledger.takeAudit('x', [strange], Number.NaN)
    ledger.takeAudit('w', [good], 0)
    ledger.takeAudit('w', [good], 0.2)
    expect([bad, strange, good].map((one) => ledger.trusts(one))).toEqual([false, false, true])
    expect(ledger.counts()).toMatchObject({ audits: 4, badAudits: 3, distrusted: 2, openBreakers: 1 })
  })
})
