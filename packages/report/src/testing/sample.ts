/** Made-up results in the shape that `kvasir eval` writes; the numbers mean nothing, but move as real ones would. */

type Row = Record<string, unknown>

export interface SampleOptions {
  readonly policies?: readonly string[]
  readonly budgets?: readonly number[]
  readonly lengths?: readonly number[]
  /** Cases a length. */
  readonly numCases?: number
}

const samplePolicies = [
  'full',
  'window',
  'random',
  'oracle',
  'snapkv',
  'quest:page=16',
  'sentence-kv:mode=paper',
  'sentence-kv:mode=kvasir,sink=4',
] as const

const numLayers = 30

/** Loss of a policy at a budget: 0 is the full cache. */
function lossOf(policy: string, budget: number | null): number {
  if (budget === null) return 0
  const bases: Readonly<Record<string, number>> = {
    oracle: 0.02,
    random: 0.9,
    window: 0.6,
    snapkv: 0.25,
    'quest:page=16': 0.15,
  }
  return (bases[policy] ?? 0.05 + 0.01 * policy.length) * (64 / budget) ** 0.8
}

/** A number in [0, 1) that follows from its text alone. */
function noise(...parts: readonly unknown[]): number {
  let hash = 2166136261
  for (const char of parts.join('|')) hash = Math.imul(hash ^ char.charCodeAt(0), 16777619)
  hash ^= hash >>> 15
  return (Math.imul(hash, 2246822507) >>> 0) / 2 ** 32
}

function armsOf({ policies = samplePolicies, budgets = [64, 128, 256] }: SampleOptions) {
  return policies.flatMap((policy) => (policy === 'full' ? [null] : budgets).map((budget) => ({ policy, budget })))
}

function memoryOf(length: number, budget: number | null): Row {
  const attended = Math.min(length, budget ?? length)
  return {
    ...{ attendedTokensMean: attended, poolTokensMean: Math.min(length, 3 * attended), heldTokens: length },
    hotBytes: attended * 23_040,
    warmBytes: (length - attended) * 23_040,
    movedBytesPerToken: budget === null ? 0 : 900 * budget,
    denseSteps: 0,
    certifiedHeadsShare: 0,
    reusedStepsShare: 0,
  }
}

export function sampleWindows(options: SampleOptions = {}): Row[] {
  const { lengths = [2048], numCases = 6 } = options
  return lengths.flatMap((length) =>
    Array.from({ length: numCases }, (_, i) => `book-${i}`).flatMap((id) =>
      armsOf(options).map(({ policy, budget }) => {
        const loss = lossOf(policy, budget) * (0.6 + 0.8 * noise(id, policy, budget))
        const nllFullNats = 2.4 + noise(id)
        return {
          ...{ suite: 'windows', id, length, policy, budget, mode: null, scoredTokens: 256 },
          ...{ nllNats: nllFullNats + 0.7 * loss * (noise(id, policy) - 0.1), nllFullNats },
          ...{ klNats: loss, klMedianNats: 0.4 * loss, klP99Nats: 9 * loss, top1: Math.max(0, 1 - loss ** 0.5 / 2) },
          ...memoryOf(length, budget),
          ...(budget === null
            ? {}
            : {
                massRecallByLayer: recallOf(policy, budget),
                recallByLayer: recallOf(policy, budget).map((x) => 1.2 * x - 0.3),
              }),
        }
      }),
    ),
  )
}

function recallOf(policy: string, budget: number): number[] {
  const miss = Math.min(0.9, lossOf(policy, budget) ** 0.5)
  return Array.from(
    { length: numLayers },
    (_, layer) => 1 - miss * (0.6 + 0.3 * Math.sin(layer / 5) + 0.1 * noise(policy, layer)),
  )
}

export function sampleNeedles(options: SampleOptions = {}): Row[] {
  const { lengths = [1024, 2048, 4096], numCases = 4 } = options
  const places = [0, 0.25, 0.5, 0.75, 1]
    .map((depth): Row => ({ kind: 'fact', depth }))
    .concat({ kind: 'multikey', depth: null })
  return lengths.flatMap((length) =>
    places.flatMap((place) =>
      Array.from({ length: numCases }, (_, i) => `${place.kind}-${length}-${place.depth}-${i}`).flatMap((id) =>
        armsOf(options).flatMap(({ policy, budget }) =>
          ['A', 'B'].map((mode) => {
            const hard = length > 3000 && place.kind === 'multikey' ? 0.85 : 0.1
            const correct = noise(id) > hard && noise(id, policy, mode) > lossOf(policy, budget)
            return {
              ...{ suite: 'niah', id, length, policy, budget, mode, ...place, correct },
              correctFull: noise(id) > hard,
              goldNllFullNats: 0.2,
              goldNllNats: 0.2 + lossOf(policy, budget) * (0.5 + noise(id, policy)),
              reply: correct ? ' in the old boathouse.' : ' on the <b>hill</b> & beyond',
              needleHit: budget === null ? 1 : Math.max(0, 1 - lossOf(policy, budget)),
              ...memoryOf(length, budget),
            }
          }),
        ),
      ),
    ),
  )
}

export function sampleTasks(options: SampleOptions = {}): Row[] {
  const { lengths = [1024], numCases = 5 } = options
  return lengths.flatMap((length) =>
    ['vt', 'qa_1', 'niah_single_1'].flatMap((task) =>
      Array.from({ length: numCases }, (_, i) => `${task}-${i}`).flatMap((id) =>
        armsOf(options).map(({ policy, budget }) => ({
          ...{ suite: 'ruler', id, length, policy, budget, mode: 'A', task },
          score: noise(id) > lossOf(policy, budget) ? 1 : 0,
          goldNllNats: 1 + lossOf(policy, budget) * noise(id, policy),
          reply: 'so it was',
          ...memoryOf(length, budget),
        })),
      ),
    ),
  )
}

export function samplePairs(): Row[] {
  const key = { suite: 'pairs', length: 1024, budget: null, mode: null, reason: 'close enough' }
  const times = { ttftMs: 412.5, ttftFullMs: 1200, ttftRatio: 2.9, prefillFullMs: 1100 }
  return ['semshare-kv:fidelity=fast', 'semshare-kv:fidelity=strict'].flatMap((policy, arm) =>
    Array.from({ length: 4 }, (_, i) => [
      {
        ...{ ...key, ...times, policy, id: `nt-${i}`, kind: 'nt', variant: 'oeb->twenty' },
        ...{ targetTokens: 900 + i, donorTokens: 950, exactShare: 0.6, recomputedShare: 0.2 + 0.1 * arm },
        ...{ accepted: true, klNats: 0.01 * (i + 2 - arm), selfPplRatio: 1.01, top1: 0.97 },
      },
      {
        ...{ ...key, ...times, policy, id: `swap-${i}`, kind: 'swap', variant: 'number' },
        ...{ exactShare: 0.9, recomputedShare: 0.1 + 0.1 * arm, accepted: true, klNats: 0.004 * (i + 1) },
        ...{ selfPplRatio: 1, top1: 1, followsFull: i === 0 ? 'other' : 'target', follows: 'target' },
        ...{ marginNats: 2, marginFullNats: 3 - i, reply: ' 41 <boats>', replyFull: ' 41 boats' },
      },
    ]).flat(),
  )
}

/** A suite that the report has no section for. */
export function sampleOther(): Row[] {
  const fields = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ttftFullMs']
  return Array.from({ length: 4 }, (_, i) => ({
    ...{ suite: 'other', id: `case-${i}`, length: 1024, policy: 'window', budget: null, mode: null },
    ...Object.fromEntries(fields.map((name, at) => [name, i + at])),
  }))
}

export const sampleRun = { model: 'small-model-q4.gguf', modelBytes: 100_663_296, activations: 'exact' }
