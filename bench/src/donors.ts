import { median, quantile } from '@kvasir/eval'
import { createDonorIndex, type DonorIndex } from '@kvasir/lsh'
import { createPromptSource, type PromptSource } from './donor-prompts.ts'
import type { BenchRow } from './report.ts'

const scope = { tenant: 'bench', group: 'bench', model: 'none', layout: 'none', policy: 'none' }
const shares = [0.9, 0.6, 0.3]
const numTargets = 500
const limit = 8

export interface DonorBench {
  readonly numDonors: number
  /** Rounds over all targets. */
  readonly rounds: number
  readonly progress: (label: string) => void
}

/**
 * Fills a donor index with synthetic prompts and looks up targets that hold a share of one of them. Recall counts targets
 * whose planted donor is among the first 8. A lookup's time is its median over the rounds; p99 is over the targets. Last
 * comes a flood: as many copies of one target as there are donors, and that target's own lookups.
 */
export function benchDonors({ numDonors, rounds, progress }: DonorBench): BenchRow[] {
  const source = createPromptSource(numDonors)
  const index = createDonorIndex({ maxDonors: 3 * numDonors })
  try {
    const rows = fill(index, source, numDonors, progress)
    for (const share of shares) {
      progress(`donors: share ${share}`)
      rows.push(...lookUp(index, source, { numDonors, rounds, share }))
    }
    progress('donors: flood')
    return [...rows, flood(index, source, numDonors, rounds)]
  } finally {
    index.dispose()
  }
}

function fill(
  index: DonorIndex,
  source: PromptSource,
  numDonors: number,
  progress: (label: string) => void,
): BenchRow[] {
  const timesMs: number[] = []
  let numTokens = 0
  for (let number = 0; number < numDonors; number++) {
    if (number % 10_000 === 0) progress(`donors: insert ${number}`)
    const tokens = source.prompt(number)
    numTokens += tokens.length
    timesMs.push(timeMs(() => index.insert({ id: String(number), scope, tokens })))
  }
  const shape = `donors=${numDonors},tokens=${Math.round(numTokens / numDonors)}`
  return [
    { name: 'donor insert p50', shape, unit: 'ms', ours: median(timesMs), pairs: 1 },
    { name: 'donor insert p99', shape, unit: 'ms', ours: quantile(timesMs, 0.99), pairs: 1 },
    { name: 'donor bytes', shape, unit: 'bytes/donor', ours: index.counts().bytes / numDonors, pairs: 1 },
  ]
}

interface Lookups {
  readonly numDonors: number
  readonly rounds: number
  readonly share: number
}

function lookUp(index: DonorIndex, source: PromptSource, { numDonors, rounds, share }: Lookups): BenchRow[] {
  const planted = Array.from({ length: numTargets }, (_, target) => (target * 7919) % numDonors)
  const targets = planted.map((number, target) => source.resembling(source.prompt(number), share, numDonors + target))
  const found = targets.filter((tokens, target) =>
    index.query(tokens, scope, { limit }).some(({ id }) => id === String(planted[target])),
  )
  const timesMs = medians(index, targets, rounds)
  const shape = `donors=${numDonors},share=${share}`
  return [
    { name: 'donor recall', shape, unit: 'of 1', ours: found.length / numTargets, pairs: 1 },
    { name: 'donor lookup p50', shape, unit: 'ms', ours: median(timesMs), pairs: rounds },
    { name: 'donor lookup p99', shape, unit: 'ms', ours: quantile(timesMs, 0.99), pairs: rounds },
  ]
}

/** Beside lookups of other targets, in turns. */
function flood(index: DonorIndex, source: PromptSource, numDonors: number, rounds: number): BenchRow {
  const [flooded, ...others] = Array.from({ length: numTargets }, (_, number) => source.prompt(numDonors + number))
  for (let copy = 0; copy < numDonors; copy++) index.insert({ id: `copy ${copy}`, scope, tokens: flooded })
  const timesMs = medians(
    index,
    others.flatMap((other) => [flooded, other]),
    rounds,
  )
  const ours = quantile(
    timesMs.filter((_, at) => at % 2 === 0),
    0.99,
  )
  const theirs = quantile(
    timesMs.filter((_, at) => at % 2 === 1),
    0.99,
  )
  const label = { name: 'donor lookup p99, flooded', shape: `donors=${numDonors},copies=${numDonors}`, unit: 'ms' }
  return { ...label, ours, theirs, against: 'other targets', ratio: theirs / ours, pairs: rounds }
}

/** Of each target over the rounds, so that what else the machine does in one of them is left out. */
function medians(index: DonorIndex, targets: readonly Int32Array[], rounds: number): number[] {
  const timesMs: number[][] = targets.map(() => [])
  for (let round = 0; round < rounds; round++) {
    for (const [at, tokens] of targets.entries()) {
      timesMs[at].push(timeMs(() => index.query(tokens, scope, { limit })))
    }
  }
  return timesMs.map(median)
}

function timeMs(run: () => unknown): number {
  const startMs = performance.now()
  run()
  return performance.now() - startMs
}
