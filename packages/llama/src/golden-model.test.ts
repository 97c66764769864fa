import { describe, expect, test } from 'vitest'
import { argMaxOf, bundledModel, logSumExpOf, readRows } from '../test-fixtures/engine.ts'
import { readFixture } from '../test-fixtures/fixtures.ts'

interface LogitsGolden {
  readonly name: string
  readonly ids: number[]
  readonly nllMeanNats: number
  readonly checks: {
    readonly position: number
    readonly logSumExp: number
    readonly top: [number, number][]
    readonly every4096th: number[]
  }[]
}

interface GreedyGolden {
  readonly name: string
  readonly promptIds: number[]
  readonly greedy: number[]
  /** Gap between the two largest logits before each greedy token. */
  readonly margins: number[]
}

interface KvGolden {
  readonly ids: number[]
  readonly layers: { readonly layer: number; readonly keysRotated: number[][][]; readonly values: number[][][] }[]
}

const logitsGoldens = readFixture<LogitsGolden[]>('logits.json')
const greedyGoldens = readFixture<GreedyGolden[]>('greedy.json')
const kvGolden = readFixture<KvGolden>('kv.json')

/** Largest |difference| from the reference logits, and from its mean negative log-likelihood. */
function compare(golden: LogitsGolden, rows: readonly Float32Array[]): { logit: number; nll: number } {
  let logit = 0
  for (const { position, logSumExp, top, every4096th } of golden.checks) {
    const row = rows[position]
    for (const [id, value] of top) logit = Math.max(logit, Math.abs(row[id] - value))
    every4096th.forEach((value, i) => {
      logit = Math.max(logit, Math.abs(row[i * 4096] - value))
    })
    logit = Math.max(logit, Math.abs(logSumExpOf(row) - logSumExp))
  }
  let nll = 0
  for (let t = 1; t < golden.ids.length; t++) nll += logSumExpOf(rows[t - 1]) - rows[t - 1][golden.ids[t]]
  return { logit, nll: Math.abs(nll / (golden.ids.length - 1) - golden.nllMeanNats) }
}

describe.skipIf(bundledModel === null)('the bundled model against float64 reference outputs', () => {
  describe.each([
    { kvType: 'f32', tolerance: 5e-4 },
    { kvType: 'f16', tolerance: 0.02 },
  ] as const)('exact mode, $kvType KV', ({ kvType, tolerance }) => {
    test.each(logitsGoldens)(`logits of "$name" within ${tolerance}`, async (golden) => {
      const rows = await readRows(golden.ids, { mode: 'exact', kvType })
      const { logit, nll } = compare(golden, rows)
      expect(logit).toBeLessThanOrEqual(tolerance)
      expect(nll).toBeLessThanOrEqual(tolerance)
    })
  })

  test('fast mode stays within 0.004 nats KL of exact mode on the 1,024-token prompt', async () => {
    const book = logitsGoldens.find(({ name }) => name === 'book')!
    const exact = await readRows(book.ids, { mode: 'exact', kvType: 'f32' })
    const fast = await readRows(book.ids, { mode: 'fast', kvType: 'f16' })
    let kl = 0
    let agreed = 0
    for (let t = 0; t < exact.length; t++) {
      kl += klOf(exact[t], fast[t])
      if (argMaxOf(exact[t]) === argMaxOf(fast[t])) agreed++
    }
    console.log('fast mode: KL', kl / exact.length, 'top-1', agreed / exact.length)
    expect(kl / exact.length).toBeLessThanOrEqual(0.004)
    expect(agreed / exact.length).toBeGreaterThan(0.95)
  }, 120_000)

  test('keys and values of layers 0, 14 and 29', async () => {
    const model = await bundledModel!({ mode: 'exact', kvType: 'f32' })
    const captured = await model.keysAndValues(kvGolden.ids)
    for (const { layer, keysRotated, values } of kvGolden.layers) {
      keysRotated.forEach((tokens, head) => {
        tokens.forEach((reference, token) => {
          // The file keeps pairs adjacent (2i, 2i + 1); the reference keeps halves apart (i, i + 32).
          const key = captured.keys(layer, head, token, token + 1)
          const halves = reference.map((_, i) => key[i < 32 ? 2 * i : 2 * (i - 32) + 1])
          expect(largestDifference(halves, reference)).toBeLessThan(2e-4)
          expect(largestDifference(captured.values(layer, head, token, token + 1), values[head][token])).toBeLessThan(
            2e-4,
          )
        })
      })
    }
  })

  test.each(greedyGoldens)(
    'greedy tokens of "$name" where the two best logits differ by more than 0.05',
    async (golden) => {
      const model = await bundledModel!({ mode: 'exact' })
      await using sequence = model.model.createSequence()
      let logits = await sequence.prefill(golden.promptIds)
      let demanded = 0
      for (const [step, token] of golden.greedy.entries()) {
        if (golden.margins[step] > 0.05) {
          expect(argMaxOf(logits), `step ${step}`).toBe(token)
          demanded++
        }
        logits = await sequence.decode(token)
      }
      expect(demanded).toBeGreaterThan(golden.greedy.length / 2)
    },
  )
})

/** KL(softmax(reference) || softmax(other)), nats. */
function klOf(reference: Float32Array, other: Float32Array): number {
  const norm = logSumExpOf(reference)
  const shift = logSumExpOf(other) - norm
  let sum = 0
  for (let id = 0; id < reference.length; id++) {
    sum += Math.exp(reference[id] - norm) * (reference[id] - other[id] + shift)
  }
  return sum
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i])))
}
