import { type CachePolicy, CapabilityError, type PrefillView, type PromptAttention } from '@kvasir/core'
import { assertClose, probePolicy } from '@kvasir/core/testing'
import { loadKernels } from '@kvasir/kernels'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fixturePath } from '../test-fixtures/fixtures.ts'
import { type LlamaModel, loadLlama } from './index.ts'

const prompt = Int32Array.from({ length: 50 }, (_, i) => (i * 37 + 5) % 512)

let model: LlamaModel
beforeAll(async () => {
  model = await loadLlama({
    model: fixturePath('gguf/llama-Q4_1.gguf'),
    kernels: await loadKernels(),
    kvCapacityTokens: 4096,
  })
})
afterAll(() => model.dispose())

/** Hands over the attention that its retain hook sees. */
function watching(seen: (attention: PromptAttention | undefined, view: PrefillView) => unknown): CachePolicy {
  return probePolicy({ slots: ['retain'], observes: { windowTokens: 8, allRows: true } }, () => ({
    async retain(view) {
      await seen(view.attention, view)
      return {}
    },
  }))
}

async function massesOf(attention: PromptAttention | undefined): Promise<Float32Array[]> {
  return attention
    ? [await attention.windowMass(1), await attention.windowMass(1, 3), await attention.totalMass(1)]
    : []
}

describe('the attention of a prompt', () => {
  test('is the same however the prompt is cut, but for rounding', async () => {
    const runs: Float32Array[][] = []
    const policy = watching(async (attention) => void (attention && runs.push(await massesOf(attention))))
    for (const chunkTokens of [512, 16, 7]) {
      const sequence = model.createSequence({ policy })
      await sequence.prefill(prompt, { chunkTokens })
      await sequence.dispose()
    }
    const [whole, ...cut] = runs as [Float32Array[], ...Float32Array[][]]
    expect(cut).toHaveLength(2)
    for (const masses of cut)
      masses.forEach((mass, at) => {
        assertClose(mass, whole[at] as Float32Array, { absolute: 1e-3 })
      })
  })

  test('is there for a policy that a fork of a watched sequence starts', async () => {
    const base = model.createSequence({ observe: { windowTokens: 8, allRows: true } })
    await base.prefill(prompt)
    const masses: Float32Array[][] = []
    const policy = watching(async (attention) => void masses.push(await massesOf(attention)))
    await (await base.fork({ policy })).dispose()
    const alone = model.createSequence({ policy })
    await alone.prefill(prompt)
    expect(masses[0]).toHaveLength(3)
    expect(masses[0]).toEqual(masses[1])
    await base.dispose()
    await alone.dispose()
  })

  test('is refused to a policy that starts on a sequence that nobody watched', async () => {
    const base = model.createSequence({ observe: { windowTokens: 4 } })
    await base.prefill(prompt)
    await expect(base.fork({ policy: watching(() => {}) })).rejects.toThrow(CapabilityError)
    await expect(base.fork({ policy: watching(() => {}) })).rejects.toThrow(/observe/)
    await base.dispose()
  })

  test('of all rows is whole again after a rewind into any prompt, and no row changes', async () => {
    const policy = watching(async (attention) => void (attention && masses.push(await massesOf(attention))))
    const masses: Float32Array[][] = []
    const [sequence, fresh] = [model.createSequence({ policy }), model.createSequence({ policy })]
    const second = prompt.slice(0, 30)
    await sequence.prefill(prompt, { chunkTokens: 16 })
    for (const token of [3, 4]) await sequence.decode(token)
    await sequence.prefill(second)
    await fresh.prefill(prompt)
    for (const token of [3, 4]) await fresh.decode(token)
    const logits = await fresh.prefill(second)
    const [one, two] = [masses[2], masses[3]] as [Float32Array[], Float32Array[]]
    const again = async (numTokens: number, rest: Int32Array, expected: Float32Array[]) => {
      await sequence.rewind(numTokens)
      const seen = await sequence.prefill(rest)
      masses.at(-1)?.forEach((mass, at) => {
        if (at === 2 || rest.length >= 8) assertClose(mass, expected[at] as Float32Array, { absolute: 1e-3 })
      })
      return seen
    }
    expect(await again(60, second.slice(8), two)).toEqual(logits)
    expect(await again(52, second, two)).toEqual(logits)
    await sequence.rewind(70)
    expect(await again(57, second.slice(5), two)).toEqual(logits)
    await again(20, prompt.slice(20), one)
    await again(50 - 9, prompt.slice(41), one)
    for (const token of [3, 4]) await sequence.decode(token)
    expect(await sequence.prefill(second)).toEqual(logits)
    await again(0, prompt, one)
    for (const each of [sequence, fresh]) await each.dispose()
  })

  test.each([{ windowTokens: 8 }, { windowTokens: 8, allRows: true }])(
    'is whole for a policy that a fork starts after a rewind into the prompt: %o',
    async (observes) => {
      const masses: Float32Array[][] = []
      const policy = probePolicy({ slots: ['retain'], observes }, () => ({
        async retain({ attention }) {
          const total = observes.allRows ? await attention?.totalMass(1) : undefined
          masses.push([(await attention?.windowMass(1)) as Float32Array, total ?? new Float32Array(0)])
          return {}
        },
      }))
      const [base, short] = [observes, observes].map((observe) => model.createSequence({ observe }))
      await base?.prefill(prompt)
      await base?.rewind(33)
      await short?.prefill(prompt.slice(0, 33))
      for (const each of [base, short]) await (await each?.fork({ policy }))?.dispose()
      const [cut, expected] = masses as [Float32Array[], Float32Array[]]
      cut.forEach((mass, at) => {
        assertClose(mass, expected[at] as Float32Array, { absolute: 1e-3 })
      })
      expect(cut[0]?.reduce((sum, value) => sum + value, 0)).toBeCloseTo(8 * model.config.numHeads, 1)
      for (const each of [base, short]) await each?.dispose()
    },
  )

  test('of all rows goes on over kept rows, and is refused once a prompt that read them is cut', async () => {
    const sums: number[][] = []
    const errors: unknown[] = []
    const window: Float32Array[] = []
    let asked = 0
    const policy = probePolicy({ slots: ['retain'], observes: { windowTokens: 8, allRows: true } }, () => ({
      async retain({ attention }) {
        if (!attention) return {}
        const mass = await attention.totalMass(1).catch((error: unknown) => void errors.push(error))
        window.push(await attention.windowMass(1), mass ?? new Float32Array(0))
        const numTokens = (mass?.length ?? 0) / model.config.numHeads
        sums.push(
          Array.from({ length: model.config.numHeads }, (_, head) =>
            Array.from(mass?.subarray(head * numTokens, (head + 1) * numTokens) ?? []).reduce((a, b) => a + b, 0),
          ),
        )
        return asked++ === 0 ? { keep: Array.from({ length: model.config.numLayers }, () => evenRows(50)) } : {}
      },
    }))
    const sequence = model.createSequence({ policy })
    await sequence.prefill(prompt)
    await sequence.prefill(prompt.slice(0, 5))
    for (const sum of sums[0] as number[]) expect(sum).toBeCloseTo(50, 2)
    for (const sum of sums[1] as number[]) expect(sum).toBeCloseTo(55, 2)
    const [before, ofFive, after] = [window[1], window[2], window[3]] as [Float32Array, Float32Array, Float32Array]
    for (let at = 0; at < after.length; at++) {
      const [head, row] = [Math.floor(at / 55), at % 55]
      const had = row < 50 ? (before[head * 50 + row] as number) : 0
      expect(after[at]).toBeCloseTo(had + (ofFive[at] as number), 4)
    }
    await sequence.rewind(52)
    await sequence.prefill(prompt.slice(0, 5))
    expect(errors).toHaveLength(1)
    expect(errors[0]).toBeInstanceOf(CapabilityError)
    await sequence.rewind(50)
    await sequence.prefill(prompt.slice(0, 5))
    expect(errors).toHaveLength(1)
    await sequence.dispose()
  })

  test('an abort while rows are read again loses none', async () => {
    const masses: Float32Array[][] = []
    const policy = watching(async (attention) => void (attention && masses.push(await massesOf(attention))))
    const sequence = model.createSequence({ policy })
    const logits = await sequence.prefill(prompt)
    await sequence.rewind(40)
    const stop = new AbortController()
    const late = sequence.prefill(prompt.slice(40), { chunkTokens: 4, signal: stop.signal })
    setTimeout(() => stop.abort(), 0)
    await expect(late).rejects.toThrow()
    const { numTokens } = sequence
    expect(numTokens).toBeGreaterThanOrEqual(40)
    expect(await sequence.prefill(prompt.slice(numTokens))).toEqual(logits)
    assertClose(masses.at(-1)?.[2] as Float32Array, masses[0]?.[2] as Float32Array, { absolute: 1e-3 })
    await sequence.dispose()
  })

  test('over kept rows gives every row its whole attention, and dropped rows none', async () => {
    const masses: Float32Array[] = []
    const keepEven = Array.from({ length: model.config.numLayers }, () => evenRows(prompt.length))
    let first = true
    const policy = probePolicy({ slots: ['retain'], observes: { windowTokens: 8 } }, () => ({
      async retain({ attention }) {
        if (!first) masses.push((await attention?.windowMass(0)) ?? new Float32Array(0))
        const plan = first ? { keep: keepEven } : {}
        first = false
        return plan
      },
    }))
    const sequence = model.createSequence({ policy })
    await sequence.prefill(prompt)
    await sequence.prefill(prompt.slice(0, 5))
    const mass = masses.at(-1) as Float32Array
    const numTokens = prompt.length + 5
    const ofHead = mass.subarray(0, numTokens)
    expect(ofHead.reduce((sum, value) => sum + value, 0)).toBeCloseTo(5, 3)
    expect(
      Array.from(ofHead.subarray(0, prompt.length))
        .filter((_, at) => at % 2 === 1)
        .every((value) => value === 0),
    ).toBe(true)
    await sequence.dispose()
  })

  test('is refused for a window wider than any that is kept', () => {
    expect(() => model.createSequence({ observe: { windowTokens: 257 } })).toThrow(/at most 256/)
  })
})

describe('what a step selected', () => {
  test('is shown layer by layer, and changes no bit', async () => {
    const { numLayers, numKvHeads, numHeads } = model.config
    const sequence = model.createSequence()
    await sequence.prefill(prompt)
    const twin = await sequence.fork()
    const seen: number[] = []
    const logits = await sequence.decode(7, {
      onSelected({ layer, numTokens, runs, weights }) {
        seen.push(layer)
        expect(numTokens).toBe(prompt.length + 1)
        expect(runs.rowStarts).toHaveLength(numKvHeads + 1)
        const ofGroup = weights(0, Int32Array.of(0, numTokens - 1))
        expect(ofGroup).toHaveLength((numHeads / numKvHeads) * 2)
        expect((ofGroup[0] as number) + (ofGroup[1] as number)).toBeCloseTo(1, 5)
      },
    })
    expect(seen).toEqual(Array.from({ length: numLayers }, (_, layer) => layer))
    expect(logits).toEqual(await twin.decode(7))
    await sequence.dispose()
    await twin.dispose()
  })

  test('is counted with its peak', async () => {
    const { numLayers, numKvHeads } = model.config
    const sequence = model.createSequence()
    await sequence.prefill(prompt)
    await sequence.decode(1)
    await sequence.decode(2)
    const { attendedTokens, peakAttendedTokens, heldTokens } = sequence.report()
    expect(peakAttendedTokens).toBe(52 * numLayers * numKvHeads)
    expect(attendedTokens).toBe((51 + 52) * numLayers * numKvHeads)
    expect(heldTokens).toBe(52 * numLayers * numKvHeads)
    await sequence.dispose()
  })
})

function evenRows(numTokens: number) {
  const { numKvHeads } = model.config
  const runs = Array.from({ length: Math.ceil(numTokens / 2) }, (_, at) => [
    Math.floor((2 * at) / 16),
    (2 * at) % 16,
    1,
  ]).flat()
  return {
    rowStarts: Int32Array.from({ length: numKvHeads + 1 }, (_, row) => (row * runs.length) / 3),
    runs: Int32Array.from(Array.from({ length: numKvHeads }, () => runs).flat()),
  }
}
