import { type CachePolicy, DisposedError, OptionError, type PolicySession, runsOfSpans } from '@kvasir/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { rowsOf } from '../test-fixtures/engine.ts'
import { fixturePath } from '../test-fixtures/fixtures.ts'
import { ContextError, GgufError, generate, KvCapacityError, type LlamaModel, loadLlama, ModelError } from './index.ts'

const path = fixturePath('gguf/llama-Q4_1.gguf')
const ids = Array.from({ length: 40 }, (_, i) => (i * 31) % 512)

describe('a model that cannot be used is refused with the reason', () => {
  test.each([
    ['a missing file', '/nowhere/none.gguf', GgufError],
    ['a truncated file', fixturePath('gguf/broken/truncated-data.gguf'), GgufError],
    ['a file without a needed tensor', fixturePath('gguf/broken/missing-tensor.gguf'), ModelError],
  ])('%s', async (_, model, type) => {
    await expect(loadLlama({ model })).rejects.toThrow(type)
  })

  test('an unknown option, with the right spelling', async () => {
    await expect(loadLlama({ model: path, chunkToken: 3 } as never)).rejects.toThrow(/chunkTokens/)
  })
})

describe('requests', () => {
  const events: unknown[] = []
  let model: LlamaModel
  beforeAll(async () => {
    model = await loadLlama({
      model: path,
      contextTokens: 64,
      kvCapacityTokens: 128,
      onQuarantine: (event) => events.push(event),
    })
  })
  afterAll(() => model.dispose())

  test('an empty prompt is refused', async () => {
    await expect(model.createSequence().prefill([])).rejects.toThrow(OptionError)
  })

  test.each([-1, 512, 1.5, Number.NaN])('token %d is refused', async (token) => {
    await expect(model.createSequence().prefill([1, token])).rejects.toThrow(OptionError)
  })

  test('a prompt longer than the context is refused, and the sequence stays usable', async () => {
    await using sequence = model.createSequence()
    await expect(sequence.prefill(new Array(65).fill(1))).rejects.toThrow(ContextError)
    await sequence.prefill(ids)
    expect(sequence.numTokens).toBe(40)
  })

  test('KV memory that is used up is a typed error, and comes back on dispose', async () => {
    const sequences = [model.createSequence(), model.createSequence(), model.createSequence()]
    await sequences[0].prefill(new Array(64).fill(1))
    await sequences[1].prefill(new Array(64).fill(2))
    await expect(sequences[2].prefill([1])).rejects.toThrow(KvCapacityError)
    await sequences[0].dispose()
    await sequences[2].prefill([1])
    await Promise.all(sequences.map((sequence) => sequence.dispose()))
  })

  test('a disposed sequence says so', async () => {
    const sequence = model.createSequence()
    await sequence.dispose()
    await expect(sequence.prefill([1])).rejects.toThrow(DisposedError)
  })

  test('the report of a disposed sequence stays', async () => {
    const sequence = model.createSequence()
    await sequence.prefill(ids)
    await sequence.decode(1)
    const before = sequence.report()
    await sequence.dispose()
    expect(sequence.report()).toEqual(before)
  })

  test('a rewind beyond the end is refused', async () => {
    await using sequence = model.createSequence()
    await sequence.prefill(ids)
    await expect(sequence.rewind(41)).rejects.toThrow(OptionError)
  })

  test('abort before and during prefill rejects with the reason; the sequence can go on', async () => {
    await using sequence = model.createSequence()
    const reason = new Error('enough')
    await expect(sequence.prefill(ids, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const controller = new AbortController()
    const running = sequence.prefill(ids, { signal: controller.signal })
    controller.abort(reason)
    await expect(running).rejects.toBe(reason)
    await sequence.rewind(0)
    const [expected] = (await rowsOf(model, ids)).slice(-1)
    expect(await sequence.prefill(ids)).toEqual(expected)
  })

  test('abort during decode rejects and leaves the sequence as it was', async () => {
    await using sequence = model.createSequence()
    await sequence.prefill(ids)
    await expect(sequence.decode(3, { signal: AbortSignal.abort() })).rejects.toThrow()
    expect(sequence.numTokens).toBe(40)
  })

  test('generate stops at an abort', async () => {
    await using sequence = model.createSequence()
    const controller = new AbortController()
    const tokens: number[] = []
    await expect(async () => {
      for await (const { token } of generate(model, sequence, ids, { signal: controller.signal })) {
        tokens.push(token)
        if (tokens.length === 3) controller.abort()
      }
    }).rejects.toThrow()
    expect(tokens.length).toBe(3)
  })

  describe('a broken policy is put aside for its sequence: the answer is the full cache’s', () => {
    const broken: [string, Partial<PolicySession>][] = [
      [
        'select throws',
        {
          select: () => {
            throw new Error('broken')
          },
        },
      ],
      [
        'select leaves out the current token',
        { select: () => ({ kind: 'runs', runs: runsOfSpans([{ start: 0, end: 4 }], 2) }) },
      ],
      [
        'select names rows that are not there',
        { select: () => ({ kind: 'runs', runs: runsOfSpans([{ start: 0, end: 4000 }], 2) }) },
      ],
      ['select gives nonsense', { select: () => 'everything' as never }],
      [
        'retain throws',
        {
          retain: async () => {
            throw new Error('broken')
          },
        },
      ],
      [
        'append throws',
        {
          append: () => {
            throw new Error('broken')
          },
        },
      ],
    ]
    test.each(broken.flatMap(([name, hooks]) => (['step', 'layer'] as const).map((scope) => ({ name, hooks, scope }))))(
      '$name, asked at each $scope',
      async ({ hooks, scope }) => {
        const policy: CachePolicy = {
          name: 'broken',
          effects: { slots: Object.keys(hooks) as never, fidelity: 'lossy', selectScope: scope },
          bind: () => {},
          open: () => ({ ...hooks, [Symbol.asyncDispose]: async () => {} }),
        }
        events.length = 0
        await using plain = model.createSequence()
        await using guarded = model.createSequence({ policy })
        await plain.prefill(ids)
        await guarded.prefill(ids)
        for (const token of [1, 2, 3]) expect(await guarded.decode(token)).toEqual(await plain.decode(token))
        expect(events).toMatchObject([{ policy: 'broken', hook: Object.keys(hooks)[0] }])
      },
    )
  })
})
