import {
  type CachePolicy,
  type DonorKv,
  type DonorStore,
  exact,
  IntegrityError,
  type LayerReport,
  type PromptView,
  ProvenanceError,
  type QuarantineEvent,
  type ReuseAudit,
  withLoss,
} from '@kvasir/core'
import { assertSameBits, memoryDonors, probePolicy } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { fixturePath } from '../test-fixtures/fixtures.ts'
import {
  borrower,
  document,
  openModel,
  planFor,
  prefillOf,
  publish,
  publisher,
  reordered,
  scope,
} from '../test-fixtures/reuse.ts'
import { loadLlama } from './index.ts'

describe('borrowing rows for a prompt', () => {
  test('reports what was borrowed, computed and left', async () => {
    await using model = await openModel()
    const donor = await publish(model)
    await using sequence = model.createSequence({ policy: borrower(planFor(donor)), scope })
    await sequence.prefill(reordered)
    expect(sequence.numTokens).toBe(90)
    expect(sequence.report().reuse).toEqual({
      accepted: true,
      reason: 'two parts were moved',
      standingTokens: 0,
      borrowedTokens: 89,
      recomputedPairs: 31 * model.config.numLayers,
      recomputedShare: 31 / 90,
      donors: [donor],
      provenance: withLoss(exact, 'moved'),
    })
    expect(sequence.report().reusedTokens).toBe(59)
  })

  test('rows of a donor that has read another token are no exact prefix, wherever they lie', async () => {
    await using model = await openModel()
    const donor = await publish(model)
    const other = document.slice()
    other[35] = 7
    const plan = {
      ...planFor(donor),
      pieces: [{ start: 0, end: 89, donor, donorStart: 0 }],
      recompute: { rows: Int32Array.of(35, 89) },
    }
    const publishes = { publish: publisher.open({} as never).publish! }
    const { effects, ...policy } = borrower(plan, publishes)
    const lossy = { ...policy, effects: { ...effects, slots: ['reuse', 'publish'] as const } }
    await using sequence = model.createSequence({ policy: lossy, scope })
    await sequence.prefill(other)
    expect(sequence.report().reuse).toMatchObject({ accepted: true, borrowedTokens: 89 })
    await expect(sequence.publish()).rejects.toThrow(ProvenanceError)
    await using reader = model.createSequence({ scope })
    const logits = await reader.prefill(other)
    expect(reader.report().reusedTokens).toBe(32)
    assertSameBits(logits, await prefillOf(model, other))
  })

  test.each(['nothing', 'distances', 'attention'])(
    'has the same bits in chunks and in a batch, watching %s',
    async (watching) => {
      const hooks = watching === 'nothing' ? {} : { recompute: ({ rows }: LayerReport) => rows }
      const policyOf = (donor: string): CachePolicy => {
        const policy = borrower(planFor(donor), hooks)
        return {
          ...policy,
          effects: { ...policy.effects, ...(watching === 'attention' && { observes: { recomputed: true } }) },
        }
      }
      await using model = await openModel()
      const donor = await publish(model)
      const alone = await prefillOf(model, reordered, policyOf(donor))
      await using chunked = await openModel({ chunkTokens: 16, maxBatch: 3 })
      const other = await publish(chunked)
      assertSameBits(await prefillOf(chunked, reordered, policyOf(other)), alone)
      const sequences = [policyOf(donor), undefined, policyOf(donor)].map((policy) =>
        model.createSequence({ scope, ...(policy && { policy }) }),
      )
      const logits = await model.prefill(sequences.map((sequence) => sequence.request(reordered)))
      assertSameBits(logits[0] as Float32Array, alone)
      assertSameBits(logits[2] as Float32Array, alone)
      assertSameBits(logits[1] as Float32Array, await prefillOf(model, reordered))
      for (const sequence of sequences) await sequence.dispose()
    },
  )

  test('has the same bits over rows in a lower tier', async () => {
    await using model = await openModel()
    const plain = await prefillOf(model, reordered, borrower(planFor(await publish(model))))
    await using tiered = await openModel({ kvTier: { lower: { kind: 'host' }, hotBytes: 1 << 20 } })
    const donor = await publish(tiered)
    assertSameBits(await prefillOf(tiered, reordered, borrower(planFor(donor))), plain)
  })

  test('keeps the borrowed rows of what the session leaves out', async () => {
    await using model = await openModel()
    const donor = await publish(model)
    const sizes: number[] = []
    const recompute = ({ rows: { rows } }: LayerReport) => {
      sizes.push(rows.length)
      return { rows: rows.filter((row) => row % 6 === 0 || row === 89) }
    }
    await using sequence = model.createSequence({ policy: borrower(planFor(donor), { recompute }), scope })
    await sequence.prefill(reordered)
    expect(sizes).toEqual([31, ...sizes.slice(1).map(() => 16)])
    const { recomputedPairs } = sequence.report().reuse as { recomputedPairs: number }
    expect(recomputedPairs).toBe(31 + 16 * (model.config.numLayers - 1))
  })

  test('shows how much attention each row received', async () => {
    await using model = await openModel({ chunkTokens: 8 })
    const donor = await publish(model)
    const seen: Float32Array[] = []
    const recompute = ({ rows, attention }: LayerReport) => {
      seen.push(attention as Float32Array)
      return rows
    }
    const policy = borrower(planFor(donor), { recompute })
    await prefillOf(model, reordered, { ...policy, effects: { ...policy.effects, observes: { recomputed: true } } })
    expect(seen).toHaveLength(model.config.numLayers - 1)
    for (const attention of seen) {
      expect(attention).toHaveLength(90)
      expect(attention.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 4)
    }
  })

  test('counts what an exact prefix of the engine has as standing', async () => {
    await using model = await openModel()
    await prefillOf(
      model,
      document,
      probePolicy({ slots: ['append'] }, () => ({ append() {} })),
    )
    const views: PromptView[] = []
    const policy = probePolicy({ slots: ['reuse'] }, () => ({
      reuse: async (view) => {
        views.push(view)
        const { tokens, standingTokens = 0 } = view
        const rows = Int32Array.from({ length: tokens.length - standingTokens }, (_, i) => standingTokens + i)
        return { kind: 'reuse', pieces: [], recompute: { rows }, provenance: exact, reason: 'a prefix stands' }
      },
    }))
    const longer = Int32Array.from([...document, 7, 8, 9])
    await using sequence = model.createSequence({ policy, scope })
    const logits = await sequence.prefill(longer)
    expect(views).toMatchObject([{ standingTokens: 80 }])
    expect(views[0].pieces).toHaveLength(93)
    expect(views[0].embeddings?.(Int32Array.of(3, 4))).toHaveLength(2 * model.config.hiddenDim)
    expect(sequence.report().reuse).toMatchObject({ accepted: true, standingTokens: 80, borrowedTokens: 0 })
    assertSameBits(logits, await prefillOf(model, longer))
  })
})

describe('donors that will not do', () => {
  const around = (inner: DonorStore, change: (donor: DonorKv) => DonorKv): DonorStore => ({
    put: (donor) => inner.put(donor),
    open: async (id, owner) => {
      const donor = await inner.open(id, owner)
      return donor && change(donor)
    },
  })

  test.each([
    [
      'damaged on the way',
      /damaged.*cut short/,
      (donor: DonorKv): DonorKv => ({
        ...donor,
        layer: async (layer) => {
          if (layer === 0) return donor.layer(0)
          throw new IntegrityError({ parameter: 'layer', expected: 'whole bytes', got: 'cut short' })
        },
      }),
    ],
    [
      'of another model',
      /model: "other"/,
      (donor: DonorKv): DonorKv => ({ ...donor, format: { ...donor.format, model: 'other' } }),
    ],
    [
      'of another dtype',
      /type: "f32", not "f16"/,
      (donor: DonorKv): DonorKv => ({ ...donor, format: { ...donor.format, type: 'f32' } }),
    ],
    [
      'of another RoPE',
      /theta: 7, not/,
      (donor: DonorKv): DonorKv => ({
        ...donor,
        format: {
          ...donor.format,
          shape: {
            layers: donor.format.shape.layers.map((layer) => ({
              ...layer,
              rope: layer.rope && { ...layer.rope, theta: 7 },
            })),
          },
        },
      }),
    ],
    [
      'shorter than the plan thinks',
      /has 60 rows/,
      (donor: DonorKv): DonorKv => ({ ...donor, tokens: donor.tokens.subarray(0, 60) }),
    ],
  ] as const)('one that is %s is not read: the prompt is computed in full', async (_, reason, change) => {
    await using model = await openModel({ donors: around(memoryDonors(), change) })
    const donor = await publish(model)
    await using sequence = model.createSequence({ policy: borrower(planFor(donor)), scope })
    assertSameBits(await sequence.prefill(reordered), await prefillOf(model, reordered))
    const report = sequence.report().reuse
    expect(report).toMatchObject({ accepted: false, borrowedTokens: 0 })
    expect(report?.reason).toMatch(reason)
    expect(report?.recomputedShare).toBeGreaterThanOrEqual(1)
  })

  test('are closed after every outcome', async () => {
    let open = 0
    const counted = (donor: DonorKv): DonorKv => {
      open++
      let closed = false
      return {
        ...donor,
        close: () => {
          if (!closed) open--
          closed = true
        },
      }
    }
    await using model = await openModel({ donors: around(memoryDonors(), counted) })
    const donor = await publish(model)
    await prefillOf(model, reordered, borrower(planFor(donor)))
    await prefillOf(
      model,
      reordered,
      borrower(planFor(donor), { recompute: () => ({ kind: 'decline', reason: 'no' }) }),
    )
    const twice = {
      ...planFor(donor),
      pieces: [...planFor(donor).pieces.slice(0, 1), { start: 40, end: 89, donor: 'gone', donorStart: 0 }],
    }
    await prefillOf(model, reordered, borrower(twice))
    await expect(
      prefillOf(
        model,
        reordered,
        borrower(planFor(donor), {
          recompute: () => {
            throw new Error('broken')
          },
        }),
      ),
    ).resolves.toBeDefined()
    expect(open).toBe(0)
  })
})

describe('publishing', () => {
  test('gives rows once, however often it is asked', async () => {
    const donors = memoryDonors()
    await using model = await openModel({ donors })
    const sequence = model.createSequence({ policy: publisher, scope })
    await sequence.prefill(document)
    const id = await sequence.publish()
    expect(await sequence.publish()).toBe(id)
    await sequence.dispose()
    expect(donors.ids()).toEqual([id])
  })

  test('happens at the end for those who did not ask, and a store that fails hurts nobody', async () => {
    const donors = memoryDonors()
    await using model = await openModel({ donors })
    await prefillOf(model, document, publisher)
    expect(donors.ids()).toHaveLength(1)
    const events: QuarantineEvent[] = []
    const failing: DonorStore = {
      put: async () => {
        throw new Error('disk full')
      },
      open: async () => null,
    }
    await using broken = await openModel({ donors: failing, onQuarantine: (event) => events.push(event) })
    await prefillOf(broken, document, publisher)
    expect(events).toMatchObject([{ hook: 'publish', error: { message: 'disk full' } }])
  })

  test('is refused to policies where the model has no donor store', async () => {
    await using model = await loadLlama({ model: fixturePath('gguf/llama-Q4_1.gguf') })
    expect(model.profile.capabilities.has('kv.adopt')).toBe(false)
    expect(model.profile.format).toBeUndefined()
    await using sequence = model.createSequence({ policy: publisher, scope })
    await sequence.prefill(document)
    expect(await sequence.publish()).toBeNull()
  })
})

describe('auditing', () => {
  test('compares a borrowed prompt with a full prefill, once', async () => {
    await using model = await openModel()
    const donor = await publish(model)
    const audits: ReuseAudit[] = []
    const audit = (one: ReuseAudit) => void audits.push(one)
    await using sequence = model.createSequence({
      policy: borrower({ ...planFor(donor), audit: true }, { audit }),
      scope,
    })
    await sequence.prefill(reordered)
    const found = await sequence.audit()
    expect(audits).toEqual([found])
    expect(found?.klNats).toBeGreaterThan(1e-9)
    expect(await sequence.audit()).toBeNull()
    const everything = { rows: Int32Array.from({ length: 90 }, (_, row) => row) }
    const all = { ...planFor(donor), recompute: everything, audit: true }
    await using same = model.createSequence({ policy: borrower(all), scope })
    await same.prefill(reordered)
    expect(await same.audit()).toEqual({ klNats: 0, sameTop: true })
  })

  test('reads on along the reply, and leaves the sequence as it is', async () => {
    await using model = await openModel()
    const donor = await publish(model)
    const everything = { rows: Int32Array.from({ length: 90 }, (_, row) => row) }
    const found: ReuseAudit[] = []
    for (const plan of [planFor(donor), { ...planFor(donor), recompute: everything }]) {
      await using sequence = model.createSequence({ policy: borrower({ ...plan, audit: true }), scope })
      await using twin = model.createSequence({ policy: borrower(plan), scope })
      await sequence.prefill(reordered)
      await twin.prefill(reordered)
      for (const token of [5, 6, 7]) {
        await sequence.decode(token)
        await twin.decode(token)
      }
      found.push((await sequence.audit()) as ReuseAudit)
      assertSameBits(await sequence.decode(8), await twin.decode(8))
    }
    expect(found[1]).toEqual({ klNats: 0, sameTop: true })
    await using first = model.createSequence({ policy: borrower({ ...planFor(donor), audit: true }), scope })
    await first.prefill(reordered)
    const atFirst = (await first.audit()) as ReuseAudit
    expect(found[0].klNats).toBeGreaterThan(1e-9)
    expect(found[0].klNats).not.toBe(atFirst.klNats)
  })

  test('waits where the KV memory has no room for a second prompt', async () => {
    await using model = await openModel({ kvCapacityTokens: 192 })
    const donor = await publish(model)
    await using sequence = model.createSequence({ policy: borrower({ ...planFor(donor), audit: true }), scope })
    await sequence.prefill(reordered)
    const other = model.createSequence()
    await other.prefill(document.subarray(0, 60))
    expect(await sequence.audit()).toBeNull()
    await other.dispose()
    expect((await sequence.audit())?.klNats).toBeGreaterThan(1e-9)
  })

  test('is forgotten when the prompt is cut, and another one read', async () => {
    await using model = await openModel()
    const donor = await publish(model)
    await using sequence = model.createSequence({ policy: borrower({ ...planFor(donor), audit: true }), scope })
    await sequence.prefill(reordered)
    await sequence.rewind(40)
    expect(await sequence.audit()).toBeNull()
    await sequence.prefill(document.subarray(0, 60))
    expect(await sequence.audit()).toBeNull()
  })

  test('is not done for plans that did not ask', async () => {
    await using model = await openModel()
    const donor = await publish(model)
    await using sequence = model.createSequence({ policy: borrower(planFor(donor)), scope })
    await sequence.prefill(reordered)
    expect(await sequence.audit()).toBeNull()
  })
})
