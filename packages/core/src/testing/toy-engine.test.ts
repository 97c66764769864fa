import { describe, expect, test } from 'vitest'
import { DisposedError, IntegrityError, OptionError, ProvenanceError, ScopeError, ShapeError } from '../errors.ts'
import { fixedSelection } from '../fixed-selection.ts'
import type { PolicySession } from '../policy.ts'
import { exact, withLoss } from '../provenance.ts'
import type { Scope } from '../scope.ts'
import { assertSameBits, nmse } from './close.ts'
import { engineSuite } from './engine-suite.ts'
import { memoryDonors } from './memory-donors.ts'
import { probePolicy } from './probe-policy.ts'
import { toyEngine, toyTokens } from './toy-engine.ts'

const prompt = toyTokens('A prompt of some fifty bytes, to be read in chunks.')
const decoded = toyTokens('abcde')

describe('toy engine', () => {
  engineSuite(() => toyEngine(), { describe, test, prompt, decoded })

  test('writes the same text for the same seed, another for another', async () => {
    const options = { maxTokens: 12 }
    const first = await toyEngine().generate('Once upon a time', options)
    expect(await toyEngine().generate('Once upon a time', options)).toEqual(first)
    expect((await toyEngine({ seed: 2 }).generate('Once upon a time', options)).tokens).not.toEqual(first.tokens)
    expect(first.report).toMatchObject({ numTokens: 28, decodeSteps: 12, quarantined: false, evictedTokens: 0 })
  })

  test('counts the rows that decoding read', async () => {
    const { report } = await toyEngine().generate('0123456789', { maxTokens: 3 })
    expect(report.attendedTokens).toBe((11 + 12 + 13) * 2 * 2)
    const policy = fixedSelection('recent', ({ numTokens }) => [{ start: numTokens - 4, end: numTokens }])
    const few = await toyEngine().generate('0123456789', { maxTokens: 3, policy })
    expect(few.report.attendedTokens).toBe(4 * 3 * 2 * 2)
    expect(few.report.policy?.attendedTokens).toBe(few.report.attendedTokens)
  })

  test('gives pieces that join to the text, each whole character with its last byte', async () => {
    const pieces: string[] = []
    const policy = probePolicy({ slots: ['retain'] }, () => ({
      async retain(view) {
        pieces.push(...view.pieces)
        return {}
      },
    }))
    await toyEngine().createSequence({ policy }).prefill(toyTokens('aé本'), { chunkTokens: 2 })
    expect(pieces).toEqual(['a', '', 'é', '', '', '本'])
  })

  test('refuses misuse', async () => {
    const sequence = toyEngine({ contextTokens: 8 }).createSequence()
    await expect(sequence.prefill(new Int32Array(0))).rejects.toThrow(OptionError)
    await expect(sequence.prefill(new Int32Array(9))).rejects.toThrow(/at most 8/)
    await expect(sequence.decode(256)).rejects.toThrow(OptionError)
    expect(() => sequence.rewind(1)).toThrow(OptionError)
    await sequence[Symbol.asyncDispose]()
    await expect(sequence.decode(1)).rejects.toThrow(DisposedError)
    expect(() => toyEngine({ sede: 1 } as never)).toThrow(/Did you mean seed/)
    expect(() => toyEngine().createSequence({ scope: {} as never })).toThrow(ScopeError)
  })

  test('lets policies read only rows that stand', async () => {
    const errors: unknown[] = []
    const policy = probePolicy({ slots: ['retain'] }, () => ({
      async retain({ kv }) {
        for (const read of [() => kv.keys(0, 0, 0, 6), () => kv.values(2, 0, 0, 1), () => kv.keys(0, 2, 0, 1)]) {
          try {
            read()
          } catch (error) {
            errors.push(error)
          }
        }
        return {}
      },
    }))
    await toyEngine().createSequence({ policy }).prefill(prompt.slice(0, 5))
    expect(errors).toHaveLength(3)
    for (const error of errors) expect(error).toBeInstanceOf(ShapeError)
  })
})

const scope: Scope = { tenant: 'acme', group: 'g', model: 'toy', layout: 'f32', policy: 'p' }

/** Publishes its prompt. */
function publisher(spans = [{ start: 0, end: prompt.length }]) {
  return probePolicy({ slots: ['publish'] }, () => ({ publish: () => ({ spans, scope, provenance: exact }) }))
}

/** Borrows from `donor`: everything but the last row is computed afresh only where `recompute` says. */
function borrower(donor: string, donorStart: number, recompute: number[]) {
  return probePolicy({ slots: ['reuse'] }, () => ({
    async reuse({ tokens }) {
      const piece = { start: 0, end: tokens.length, donor, donorStart }
      const provenance = donorStart === 0 ? exact : withLoss(exact, 'moved')
      return {
        kind: 'reuse',
        pieces: [piece],
        recompute: { rows: Int32Array.from(recompute) },
        provenance,
        reason: 'test',
      }
    },
  }))
}

async function publishedDonor(engine: ReturnType<typeof toyEngine>): Promise<string> {
  const sequence = engine.createSequence({ policy: publisher(), scope })
  await sequence.prefill(prompt)
  await sequence.publish()
  return sequence.id
}

describe('toy engine: reuse', () => {
  test('borrows an exact prefix to the bit', async () => {
    const engine = toyEngine()
    const donor = await publishedDonor(engine)
    const sequence = engine.createSequence({ policy: borrower(donor, 0, [prompt.length - 1]), scope })
    const logits = await sequence.prefill(prompt)
    expect(sequence.report().borrowedTokens).toBe(prompt.length - 1)
    assertSameBits(logits, await toyEngine().createSequence().prefill(prompt))
  })

  test('moves borrowed rows to their new positions', async () => {
    const engine = toyEngine()
    const donor = await publishedDonor(engine)
    const rest = prompt.slice(10)
    const seen: Float32Array[] = []
    const retain: PolicySession['retain'] = async ({ kv }) => {
      seen.push(kv.keys(0, 1, 0, rest.length))
      return {}
    }
    const { reuse } = borrower(donor, 10, [rest.length - 1]).open({} as never)
    const policy = probePolicy({ slots: ['reuse', 'retain'] }, () => ({ reuse: reuse!, retain }))
    const logits = await engine.createSequence({ policy, scope }).prefill(rest)
    const watcher = probePolicy({ slots: ['retain'] }, () => ({ retain }))
    const full = await toyEngine().createSequence({ policy: watcher }).prefill(rest)
    // Keys of layer 0 depend on token and position alone; the layers above saw another context.
    expect(nmse(seen[0], seen[1])).toBeLessThan(1e-13)
    expect(nmse(logits, full)).toBeGreaterThan(1e-6)
  })

  test('asks for the rows of the next layer, and tells how far the borrowed ones were off', async () => {
    const engine = toyEngine()
    const donor = await publishedDonor(engine)
    const reports: { layer: number; deviations: number[] }[] = []
    const all = Array.from(prompt, (_, row) => row)
    const reuse = borrower(donor, 0, all).open({} as never).reuse!
    const policy = probePolicy({ slots: ['reuse', 'recompute'] }, () => ({
      reuse,
      recompute({ layer, rows, deviations }) {
        reports.push({ layer, deviations: [...deviations] })
        return { rows: rows.rows.slice(-2) }
      },
    }))
    const logits = await engine.createSequence({ policy, scope }).prefill(prompt)
    expect(reports).toEqual([{ layer: 0, deviations: all.map(() => 0) }])
    assertSameBits(logits, await toyEngine().createSequence().prefill(prompt))
  })

  test('computes everything when the donor is gone, and never serves another scope', async () => {
    const engine = toyEngine()
    const donor = await publishedDonor(engine)
    const full = await toyEngine().createSequence().prefill(prompt)
    const gone = borrower('toy-99', 0, [prompt.length - 1])
    assertSameBits(await engine.createSequence({ policy: gone, scope }).prefill(prompt), full)
    const policy = borrower(donor, 0, [prompt.length - 1])
    const stranger = engine.createSequence({ policy, scope: { ...scope, tenant: 'other' } })
    await expect(stranger.prefill(prompt)).rejects.toThrow(ScopeError)
    await expect(engine.createSequence({ policy }).prefill(prompt)).rejects.toThrow(ScopeError)
  })

  test('computes everything when the policy gives up on the way, or the donor is damaged', async () => {
    const engine = toyEngine()
    const donor = await publishedDonor(engine)
    const full = await toyEngine().createSequence().prefill(prompt)
    const reuse = borrower(donor, 0, [prompt.length - 1]).open({} as never).reuse!
    const policy = probePolicy({ slots: ['reuse', 'recompute'] }, () => ({
      reuse,
      recompute: () => ({ kind: 'decline', reason: 'too far off' }),
    }))
    assertSameBits(await engine.createSequence({ policy, scope }).prefill(prompt), full)
    const layer = async () => {
      throw new IntegrityError({ parameter: donor, expected: 'whole bytes', got: 'others' })
    }
    const store = memoryDonors()
    const closed: string[] = []
    const open: typeof store.open = async (id, owner) => {
      return { ...(await store.open(id, owner))!, layer, close: () => closed.push(id) }
    }
    const broken = toyEngine({ donors: { ...store, open } })
    const brokenDonor = await publishedDonor(broken)
    const damaged = borrower(brokenDonor, 0, [prompt.length - 1])
    assertSameBits(await broken.createSequence({ policy: damaged, scope }).prefill(prompt), full)
    expect(closed).toEqual([brokenDonor])
  })

  test('keeps the rotation of stored keys where the plan says so', async () => {
    const engine = toyEngine()
    const donor = await publishedDonor(engine)
    const rest = prompt.slice(10)
    const keys: Float32Array[] = []
    const retain: PolicySession['retain'] = async ({ kv }) => {
      keys.push(kv.keys(0, 1, 0, rest.length - 1))
      return {}
    }
    const reuse: PolicySession['reuse'] = async (view) => {
      const plan = await borrower(donor, 10, [rest.length - 1]).open({} as never).reuse!(view)
      return { ...plan, keys: 'stored' } as typeof plan
    }
    const policy = probePolicy({ slots: ['reuse', 'retain'] }, () => ({ reuse, retain }))
    await engine.createSequence({ policy, scope }).prefill(rest)
    const watcher = probePolicy({ slots: ['retain'] }, () => ({
      async retain({ kv }) {
        keys.push(kv.keys(0, 1, 10, prompt.length - 1))
        return {}
      },
    }))
    await engine.createSequence({ policy: watcher, scope }).prefill(prompt)
    assertSameBits(keys[0], keys[1])
  })

  test('publishes no row that is not exact', async () => {
    const engine = toyEngine()
    const donor = await publishedDonor(engine)
    const both = {
      ...publisher([{ start: 0, end: 4 }]),
      effects: { slots: ['publish', 'reuse'], fidelity: 'lossy' },
    } as const
    const reuse = borrower(donor, 10, [prompt.length - 11]).open({} as never).reuse!
    const policy = { ...both, open: () => ({ ...publisher([{ start: 0, end: 4 }]).open({} as never), reuse }) }
    const sequence = engine.createSequence({ policy, scope })
    await sequence.prefill(prompt.slice(10))
    await expect(sequence.publish()).rejects.toThrow(ProvenanceError)
  })
})
