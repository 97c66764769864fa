import { type DonorKv, type DonorStore, IntegrityError, type PromptView, privateScope, type Scope } from '@kvasir/core'
import { memoryDonors, toyEngine, toyTokens } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import { alignRuns } from './align/align-runs.ts'
import { rollingHashes } from './align/gram-table.ts'
import type { KvasirOptions } from './kvasir/options.ts'
import { type DonorLibrary, donorLibrary } from './library/donor-library.ts'
import { semShareKv } from './semshare-kv.ts'
import { proseOf, scope, tokenDonor, toyWorld } from './testing/world.ts'

const easy = { minPromptTokens: 8, minSaving: 0.01, minDonorTokens: 8, maxDeviation: 1e6 } as const
const text = proseOf(1, 300)
const shifted = `Look: ${text}`

async function ask(library: DonorLibrary, prompt: string, options = {}, asker: Scope = scope) {
  const { profile } = toyEngine()
  const session = semShareKv({ donors: library, ...easy, ...options }).open({ id: 's', profile, scope: asker })
  const view: PromptView = { tokens: toyTokens(prompt), pieces: [...prompt] }
  return await session.reuse!(view)
}

async function libraryOf(...donors: DonorKv[]) {
  const library = await donorLibrary({ store: memoryDonors() })
  for (const donor of donors) await library.put(donor)
  return library
}

/** An engine that has published `text`, and who may ask for it again, moved or as it was. */
async function teach(options: Partial<KvasirOptions> = {}) {
  const { engine, library } = await toyWorld()
  const policy = semShareKv({ donors: library, ...easy, ...options })
  await engine.generate(text, { policy, scope, maxTokens: 0 })
  const open = () => policy.open({ id: 's', profile: engine.profile, scope })
  const viewOf = (prompt: string) => ({ tokens: toyTokens(prompt), pieces: [...prompt] })
  return { policy, open, view: viewOf(shifted), same: viewOf(text) }
}

/** Computes `shifted` on an engine whose store lends by `open`. */
async function readOver(open: (store: DonorStore) => DonorStore['open']) {
  const store = memoryDonors()
  const library = await donorLibrary({ store: { ...store, open: (...args) => open(store)(...args) } })
  const engine = toyEngine({ donors: library })
  const policy = semShareKv({ donors: library, ...easy })
  await engine.generate(text, { policy, scope, maxTokens: 0 })
  expect(library.size).toBe(1)
  const sequence = engine.createSequence({ policy, scope })
  const logits = await sequence.prefill(toyTokens(shifted))
  const full = await engine.createSequence().prefill(toyTokens(shifted))
  return { library, policy, sequence, logits, full }
}

describe('declines, with the reason', () => {
  test('nothing stored, nothing alike, and a private scope', async () => {
    expect(await ask(await libraryOf(), text)).toMatchObject({ reason: 'no stored prompt resembles it' })
    const library = await libraryOf(tokenDonor('a', text))
    expect(await ask(library, '0123456789'.repeat(20))).toMatchObject({ kind: 'decline' })
    expect(await ask(library, text, {}, privateScope())).toMatchObject({ reason: expect.stringMatching(/private/) })
  })

  test('a donor of another model, RoPE or type, naming the field', async () => {
    const { format } = toyEngine().profile
    const [layer, ...layers] = format!.shape.layers
    const rope = { ...layer.rope!, pairing: 'interleaved' as const }
    const kinds: [object, RegExp][] = [
      [{ model: 'toy-9' }, /of another kind: model: "toy-9", not "toy-1"/],
      [{ type: 'f16' }, /type: "f16", not "f32"/],
      [
        { shape: { layers: [{ ...layer, rope }, ...layers] } },
        /shape\.layers\.0\.rope\.pairing: "interleaved", not "half"/,
      ],
    ]
    for (const [other, reason] of kinds) {
      const plan = await ask(await libraryOf(tokenDonor('a', text, { format: { ...format!, ...other } })), text)
      expect(plan).toMatchObject({ kind: 'decline', reason: expect.stringMatching(reason) })
    }
  })

  test('too short a prompt, too little cover, too little to save, too many conflicts', async () => {
    const library = await libraryOf(tokenDonor('a', text))
    const reasonOf = async (prompt: string, options: object) => {
      const plan = await ask(library, prompt, options)
      return plan.reason
    }
    expect(await reasonOf(text, { minPromptTokens: 301 })).toBe('300 tokens are to be read, and 301 are worth a search')
    const mixed = `#${text.slice(0, 60)}${'0123456789'.repeat(20)}`
    expect(await reasonOf(mixed, { minCoverage: 0.5 })).toMatch(/lend 2\d % of it, and 50 % are wanted/)
    expect(await reasonOf(shifted, { minSaving: 0.95 })).toMatch(/would save \d+ % of the prefill, and 95 % are wanted/)
    const swapped = `#${text.slice(0, 100)}77${text.slice(102, 200)}88${text.slice(202)}`
    expect(await reasonOf(swapped, { maxConflicts: 1 })).toMatch(
      /differ from the donor's at 2 places, and 1 are allowed/,
    )
    expect(await reasonOf(swapped, { maxConflicts: 2 })).toMatch(/borrows/)
  })

  test('an open breaker, until a trial is good', async () => {
    let nowMs = 0
    const { policy, open, view } = await teach({ breakerAudits: 1, breakerMs: 50, auditShare: 0, now: () => nowMs })
    const use = async (klNats: number | null) => {
      const session = open()
      const plan = await session.reuse!(view)
      if (klNats !== null && plan.kind === 'reuse') session.audit!({ klNats, sameTop: klNats < 1 })
      return plan
    }
    expect(await use(0)).toMatchObject({ kind: 'reuse', audit: true })
    expect(await use(3)).toMatchObject({ kind: 'reuse', audit: false })
    expect(await use(null)).toMatchObject({ reason: expect.stringMatching(/recent audits/) })
    expect(policy.reuseCounts()).toMatchObject({ openBreakers: 1, badAudits: 1, declined: 2 })
    nowMs = 50
    expect(await use(0)).toMatchObject({ kind: 'reuse', audit: true })
    expect(await use(null)).toMatchObject({ kind: 'reuse', audit: false })
  })

  test('what is exact is not audited, and takes no trial of an open breaker', async () => {
    let nowMs = 0
    const { open, view, same } = await teach({ breakerAudits: 1, breakerMs: 50, auditShare: 1, now: () => nowMs })
    expect(await open().reuse!(same)).toMatchObject({ kind: 'reuse', audit: false })
    const first = open()
    expect(await first.reuse!(view)).toMatchObject({ kind: 'reuse', audit: true })
    first.audit!({ klNats: 0, sameTop: true })
    const second = open()
    await second.reuse!(view)
    second.audit!({ klNats: 3, sameTop: false })
    expect(await open().reuse!(view)).toMatchObject({ kind: 'decline' })
    nowMs = 50
    expect(await open().reuse!(same)).toMatchObject({ kind: 'reuse', audit: false })
    expect(await open().reuse!(view)).toMatchObject({ kind: 'reuse', audit: true })
  })

  test('a donor whose first audit was bad is lent no more', async () => {
    const { open, view } = await teach()
    const session = open()
    await session.reuse!(view)
    session.audit!({ klNats: 5, sameTop: false })
    expect(await session.reuse!(view)).toMatchObject({ reason: 'the audit of the only similar prompt was bad' })
  })
})

describe('the prompt is computed in full', () => {
  test('where the donor is gone, damaged or cut short when it is opened', async () => {
    const damaged = new IntegrityError({ parameter: 'donor', expected: 'its digest', got: 'another' })
    const cases: ((store: DonorStore) => DonorStore['open'])[] = [
      () => async () => null,
      () => async () => Promise.reject(damaged),
      (store) => async (id, asker) => {
        const donor = (await store.open(id, asker))!
        return { ...donor, tokens: donor.tokens.slice(0, 40) }
      },
      (store) => async (id, asker) => {
        const donor = (await store.open(id, asker))!
        const layer = (at: number) => (at === 0 ? donor.layer(at) : Promise.reject(damaged))
        return { ...donor, layer }
      },
    ]
    for (const [at, open] of cases.entries()) {
      const { logits, full, sequence, library } = await readOver(open)
      expect([...logits]).toEqual([...full])
      expect(sequence.report()).toMatchObject({ borrowedTokens: 0, quarantined: false })
      if (at < 3) expect(library.counts()).toMatchObject({ donors: 0, missing: 1 })
    }
  })

  test('where the borrowed rows deviate too much', async () => {
    const { engine, library } = await toyWorld()
    const policy = semShareKv({ donors: library, ...easy, maxDeviation: 1e-9 })
    await engine.generate(text, { policy, scope, maxTokens: 0 })
    const sequence = engine.createSequence({ policy, scope })
    const logits = await sequence.prefill(toyTokens(shifted))
    expect([...logits]).toEqual([...(await engine.createSequence().prefill(toyTokens(shifted)))])
    expect(policy.reuseCounts()).toMatchObject({ offered: 1, givenUp: 1 })
    await sequence.publish()
    expect(library.size).toBe(2)
  })
})

test('what was borrowed approximately is not lent on, what is exact is', async () => {
  const { engine, library } = await toyWorld()
  const policy = semShareKv({ donors: library, ...easy })
  await engine.generate(text, { policy, scope, maxTokens: 0 })
  const { report } = await engine.generate(shifted, { policy, scope, maxTokens: 4 })
  expect(report.borrowedTokens).toBeGreaterThan(100)
  expect(library.size).toBe(1)
  const longer = await engine.generate(`${text} And then?`, { policy, scope, maxTokens: 4 })
  expect(longer.report.borrowedTokens).toBeGreaterThan(250)
  const found = await library.find({ tokens: toyTokens(text), scope, format: engine.profile.format!, limit: 4 })
  expect(found.donors.map(({ tokens }) => tokens.length)).toEqual([310])
})

test('two prompts borrow from one donor at once', async () => {
  const { engine, library } = await toyWorld()
  const policy = semShareKv({ donors: library, ...easy })
  await engine.generate(text, { policy, scope, maxTokens: 0 })
  const prompts = [`Say: ${text}`, `Read: ${text.slice(50)}`]
  const run = async (prompt: string) => {
    const sequence = engine.createSequence({ policy, scope })
    return { logits: [...(await sequence.prefill(toyTokens(prompt)))], borrowed: sequence.report().borrowedTokens }
  }
  const together = await Promise.all(prompts.map(run))
  for (const [at, prompt] of prompts.entries()) expect(await run(prompt)).toEqual(together[at])
  expect(Math.min(...together.map(({ borrowed }) => borrowed))).toBeGreaterThan(100)
})

test('other scopes get nothing', async () => {
  const { engine, library } = await toyWorld()
  const policy = semShareKv({ donors: library, ...easy })
  await engine.generate(text, { policy, scope, maxTokens: 0 })
  for (const field of Object.keys(scope)) {
    const other = { ...scope, [field]: 'x' }
    const { report } = await engine.generate(text, { policy, scope: other, maxTokens: 0 })
    expect(report.borrowedTokens, field).toBe(0)
  }
  expect((await engine.generate(text, { policy, maxTokens: 0 })).report.borrowedTokens).toBe(0)
})

describe('an abort', () => {
  test('before and while donors are looked for is thrown, and counts for nothing', async () => {
    const { policy, open, view } = await teach()
    const session = open()
    await expect(session.reuse!({ ...view, signal: AbortSignal.abort() })).rejects.toThrow(/abort/i)
    const controller = new AbortController()
    const answer = session.reuse!({ ...view, signal: controller.signal })
    controller.abort()
    await expect(answer).rejects.toThrow(/abort/i)
    expect(policy.reuseCounts()).toMatchObject({ offered: 0, openBreakers: 0 })
    expect(await session.reuse!(view)).toMatchObject({ kind: 'reuse' })
  })
})

test('with a hash of 8 bits the plan borrows the same tokens', () => {
  const donor = { id: 'a', tokens: toyTokens(text) }
  const gramHashes = (tokens: Int32Array, gram: number) => rollingHashes(tokens, gram).map((hash) => hash & 255)
  const target = toyTokens(`${shifted.slice(0, 200)}!${proseOf(4, 200)}`)
  const pieces = alignRuns(target, [donor], { minRunTokens: 8, gramHashes })
  expect(pieces.length).toBeGreaterThan(0)
  for (const { start, end, donorStart } of pieces) {
    expect(target.slice(start, end)).toEqual(donor.tokens.slice(donorStart, donorStart + end - start))
  }
})
