// The modes of SentenceKV in an engine: a tiny model of random weights, and briefly the bundled one.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CachePolicy, indicesOfRow, type PolicySession } from '@kvasir/core'
import { assertSameBits, seededRandom, watchPolicy } from '@kvasir/core/testing'
import type { Sequence } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { type SentenceKvOptions, sentenceKv } from '@kvasir/sentence-kv'
import { afterAll, describe, expect, test } from 'vitest'
import { loadTestEngine } from './testing/test-engine.ts'

const engine = await loadTestEngine({ contextTokens: 128 })
const { model, open } = engine
afterAll(() => model.dispose())

/** The tiny model has no text of its own: here every ninth id is a full stop. */
function speaking(policy: CachePolicy): CachePolicy {
  const pieceOf = (token: number) => (token % 9 === 0 ? '.' : ' word')
  const speak = (session: PolicySession): PolicySession => ({
    ...(session.counts && { counts: () => session.counts!() }),
    retain: (view) => session.retain!({ ...view, pieces: Array.from(view.tokens, pieceOf) }),
    // Every sequence here reads the whole prompt and then decodes the same tokens.
    select: (step) => session.select!({ ...step, piece: pieceOf(decoded[step.numTokens - 1 - prompt.length] ?? 1) }),
    append: (view) => session.append!({ ...view, piece: pieceOf(view.token) }),
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  })
  return { ...policy, open: (context) => speak(policy.open(context)) }
}

const random = seededRandom(3)
const prompt = Int32Array.from({ length: 110 }, () => random.integer(512))
const decoded = Int32Array.of(7, 304, 15, 27, 56, 401, 6, 130, 9, 77)
const rowsAStep = 2 * 2 // layers, KV heads

const small = { budgetTokens: 24, sinkTokens: 2, recentTokens: 4 }
const modes: Readonly<Record<string, SentenceKvOptions>> = {
  kvasir: small,
  'kvasir, in clause pieces': { ...small, pieceTokens: 6 },
  'kvasir, by the mean query and finer codes': {
    ...small,
    query: 'mean',
    codeBits: 4,
    vectorBits: 8,
    basis: 'channels',
  },
  'kvasir, kept twice the budget': { ...small, keep: 2 },
  paper: { mode: 'paper', ...small },
  released: { mode: 'released', budgetTokens: 66, keep: 1.2 },
}
const modesOf = (options: SentenceKvOptions) => speaking(sentenceKv(options))

async function decodeAfter(
  sequence: Sequence,
  turns: readonly Int32Array[],
  chunkTokens?: number,
): Promise<Float32Array[]> {
  for (const turn of turns) await sequence.prefill(turn, chunkTokens === undefined ? {} : { chunkTokens })
  const logits: Float32Array[] = []
  for (const token of decoded) logits.push(await sequence.decode(token))
  return logits
}

/** The same on a sequence of its own. */
async function decodeAlone(policy: CachePolicy, turns: readonly Int32Array[], chunkTokens?: number, on = engine) {
  await using sequence = on.open(policy)
  return await decodeAfter(sequence, turns, chunkTokens)
}

function expectSame(actual: readonly Float32Array[], expected: readonly Float32Array[]): void {
  for (const [at, logits] of actual.entries()) assertSameBits(logits, expected[at], `logits ${at}`)
}

describe.each(Object.entries(modes))('acceptance, mode %s', (name, options) => {
  test('a budget of the whole length gives the full cache', async () => {
    await using full = open()
    await using sequence = open(modesOf({ ...options, budgetTokens: 128 }))
    const [expected, actual] = [await decodeAfter(full, [prompt]), await decodeAfter(sequence, [prompt])]
    // The published code leaves one entry out whatever the budget.
    if (name === 'released') expect(() => expectSame(actual, expected)).toThrow()
    else expectSame(actual, expected)
  })

  test('the budget is never exceeded but where a step is dense', async () => {
    await using sequence = open(modesOf(options))
    await sequence.prefill(prompt)
    for (const token of decoded) {
      const before = sequence.report()
      await sequence.decode(token)
      const { attendedTokens, denseSteps } = sequence.report()
      const read = (attendedTokens - before.attendedTokens) / rowsAStep
      if (denseSteps === before.denseSteps) expect(read).toBe(options.budgetTokens)
      else expect(read).toBeGreaterThan(options.budgetTokens)
    }
    // The first token, two full stops, and the tokens after them.
    expect(sequence.report().denseSteps).toBe(name === 'released' ? 5 : 0)
  })

  test('a prompt in chunks is the prompt at once', async () => {
    const whole = await decodeAlone(modesOf(options), [prompt])
    for (const chunkTokens of [16, 37, 64]) {
      expectSame(await decodeAlone(modesOf(options), [prompt], chunkTokens), whole)
    }
  })

  test('in a ragged batch each sequence gets what it gets alone', async () => {
    const prompts = [prompt, prompt.slice(9), prompt.slice(0, 97)]
    const policies = prompts.map(() => sentenceKv(options))
    const alone = await Promise.all(prompts.map((ids) => decodeAlone(sentenceKv(options), [ids])))
    const sequences = policies.map((policy) => open(policy))
    await model.prefill(sequences.map((sequence, i) => sequence.request(prompts[i])))
    for (const [step, token] of decoded.entries()) {
      const logits = await model.decode(sequences.map((sequence) => sequence.step(token)))
      expectSame(
        logits,
        alone.map((run) => run[step]),
      )
    }
    for (const sequence of sequences) await sequence.dispose()
  })

  test('two sequences that share a prefix are as two alone', async () => {
    const scope = { tenant: 't', group: name.replaceAll(/[^a-z]/g, ''), model: 'm', layout: 'l', policy: 'p' }
    const alone = await decodeAlone(modesOf(options), [prompt])
    await using first = open(modesOf(options), scope)
    await using second = open(modesOf(options), scope)
    expectSame(await decodeAfter(first, [prompt]), alone)
    expectSame(await decodeAfter(second, [prompt]), alone)
    expect(second.report().reusedTokens).toBeGreaterThan(0)
  })

  test('an abort while a prompt is read leaves other sequences as they were', async () => {
    const alone = await decodeAlone(modesOf(options), [prompt])
    const abort = new AbortController()
    const policy = watchPolicy(modesOf(options), {
      before: (hook) => {
        if (hook === 'retain') abort.abort(new Error('enough'))
      },
    })
    await using cut = model.createSequence({ policy })
    await using other = open(modesOf(options))
    const cutting = cut.prefill(prompt, { signal: abort.signal, chunkTokens: 64 })
    const reading = decodeAfter(other, [prompt])
    await expect(cutting).rejects.toThrow('enough')
    expectSame(await reading, alone)
  })
})

describe('acceptance, rows in a lower tier', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-modes-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  const file = (name: string) => ({ kind: 'file' as const, path: join(folder, name) })

  test.each([
    ['rows come back from host memory to the bit', { lower: { kind: 'host' as const }, hotBytes: 30_000 }],
    ['rows come back from a file to the bit, fetched ahead', { lower: file('ahead'), hotBytes: 60_000 }],
    ['or when they are asked for', { lower: file('asked'), hotBytes: 60_000, prefetch: false }],
  ])('%s', async (_, kvTier) => {
    const tiered = await loadTestEngine({ contextTokens: 128, kvTier })
    for (const options of Object.values(modes)) {
      const expected = await decodeAlone(modesOf(options), [prompt])
      expectSame(await decodeAlone(modesOf(options), [prompt], undefined, tiered), expected)
    }
    expect(tiered.model.tierCounts()?.movedRows).toBeGreaterThan(0)
    await tiered.model.dispose()
  })
})

describe('acceptance', () => {
  test('two turns are their concatenation, where nothing is dropped', async () => {
    for (const options of [modes.kvasir, modes['kvasir, in clause pieces']]) {
      const whole = await decodeAlone(modesOf(options), [prompt])
      for (const cut of [1, 16, 77, 109]) {
        const turns = [prompt.slice(0, cut), prompt.slice(cut)]
        expectSame(await decodeAlone(modesOf(options), turns), whole)
      }
    }
  })

  test('what a prompt does not keep is read no more, and is not counted as held', async () => {
    await using sequence = open(modesOf(modes['kvasir, kept twice the budget']))
    await sequence.prefill(prompt)
    expect(sequence.report().heldTokens).toBe(2 * small.budgetTokens * rowsAStep)
    const read = Array.from({ length: rowsAStep }, () => new Set<number>())
    for (const token of decoded) {
      await sequence.decode(token, {
        onSelected: ({ layer, runs }) => {
          for (const head of [0, 1]) for (const row of indicesOfRow(runs, head)) read[layer * 2 + head].add(row)
        },
      })
    }
    for (const rows of read) {
      const ofPrompt = [...rows].filter((row) => row < prompt.length)
      expect(ofPrompt.length).toBeLessThanOrEqual(2 * small.budgetTokens)
      expect(ofPrompt).toEqual(expect.arrayContaining([0, 1, 109]))
    }
    expect(sequence.report().heldTokens).toBe((2 * small.budgetTokens + decoded.length) * rowsAStep)
  })
})

describe('acceptance, on the bundled model', () => {
  const sentences = [
    'The ferry to the island leaves at seven, if the fog allows it.',
    'Aunt Runa keeps bees behind the boathouse; nobody else dares to go near them.',
    'In the third drawer lies a letter that was never sent.',
    'Twice a year the lamp in the tower is cleaned by hand.',
  ]
  const text = Array.from({ length: 24 }, (_, at) => `${at + 1}. ${sentences[at % 4]}`).join(' ')

  test('every mode answers within its budget, and a prompt in chunks gives the same', async () => {
    const { model: bundled, open } = await loadTestEngine({ model: modelPath, contextTokens: 1024 })
    const ids = bundled.tokenizer!.encode(text)
    const written = bundled.tokenizer!.encode(' She reads it aloud. Then she laughs')
    for (const options of [{}, { keep: 2 }, { mode: 'paper' as const }, { mode: 'released' as const }]) {
      const policy = () => sentenceKv({ budgetTokens: 96, ...options } as SentenceKvOptions)
      const runs: Float32Array[][] = []
      for (const chunkTokens of [512, 100]) {
        await using sequence = open(policy())
        await sequence.prefill(ids, { chunkTokens })
        const logits: Float32Array[] = []
        for (const token of written) logits.push(await sequence.decode(token))
        runs.push(logits)
        const { attendedTokens, decodeSteps, denseSteps } = sequence.report()
        expect(decodeSteps).toBe(written.length)
        // The first token, the full stop and the one after it.
        expect(denseSteps).toBe('mode' in options && options.mode === 'released' ? 3 : 0)
        const { numLayers, numKvHeads } = bundled.config
        if (denseSteps === 0) expect(attendedTokens).toBe(96 * decodeSteps * numLayers * numKvHeads)
      }
      expectSame(runs[1], runs[0])
    }
    await bundled.dispose()
  }, 120_000)
})
