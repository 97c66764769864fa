import { type CachePolicy, checkInteger, checkKeys, checkOneOf, OptionError } from '@kvasir/core'
import { makePolicy, parsePolicySpec, planArms } from '@kvasir/eval'
import { type Kernels, loadKernels } from '@kvasir/kernels'
import { type LlamaModel, loadLlama } from '@kvasir/llama'
import { benchBoundedMemory } from './bounded-memory.ts'
import { benchDecode, turnTokens } from './decode.ts'
import { benchDonors } from './donors.ts'
import { openPeer, type Peer } from './llama-cpp.ts'
import { type Contestant, pairedRow, takeTurns, timeRow } from './pairs.ts'
import { measurePeakMemory } from './peak-memory.ts'
import { type BenchReport, type BenchRow, describeMachine } from './report.ts'
import { benchReuse } from './reuse.ts'
import { measureRoofs } from './roofs.ts'
import { benchSegment } from './segment.ts'
import { type TierName, tierNames } from './tiers.ts'

export const benchNames = ['prefill', 'decode', 'reuse', 'tiers', 'segment', 'donors'] as const
export type BenchName = (typeof benchNames)[number]

export const peerNames = ['llama.cpp'] as const
export type PeerName = (typeof peerNames)[number]

export interface BenchOptions {
  /** What to measure. Required. */
  readonly what: readonly BenchName[]
  /** GGUF file. Required, but not read where nothing but `segment` and `donors` is measured. */
  readonly model: string
  /** Text to run on, repeated where it is too short. Required. */
  readonly text: string
  /** Whom to compare the engine with; the peer of `segment` is sentencex where it is installed. @default nobody */
  readonly against?: PeerName
  /** Tokens in the sequence. @default 1,024 and 4,096 for prefill and reuse, 512 and 4,096 for decode, 8,000 for tiers */
  readonly lengths?: readonly number[]
  /** Policies to decode under beside the full cache, as SPECs of the command line. @default sentence-kv */
  readonly policies?: readonly string[]
  /** Tokens a KV head, for policies that name none themselves. @default 256 */
  readonly budgets?: readonly number[]
  /** Lower tiers to decode from as well, under each policy that has a budget. @default none */
  readonly tiers?: readonly TierName[]
  /** Donors to look up among, for `donors`. @default 100,000 */
  readonly donors?: number
  /** Of both engines. @default the physical cores that the process may use */
  readonly threads?: number
  /** Rounds in which each contestant runs once. @default 5 */
  readonly pairs?: number
  /** Told before each measurement. @default silent */
  readonly onProgress?: (label: string) => void
}

const optionNames = [
  'what',
  'model',
  'text',
  'against',
  'lengths',
  'policies',
  'budgets',
  'tiers',
  'donors',
  'threads',
  'pairs',
  'onProgress',
] as const
const defaultLengths = { prefill: [1024, 4096], decode: [512, 4096], reuse: [1024, 4096], tiers: [8000] } as const

const engineBenches = {
  prefill: benchPrefill,
  decode: benchDecode,
  reuse: benchReuseAndPeer,
  tiers: benchBoundedMemory,
}

/** llama.cpp shifts its context before it is quite full. */
const peerSlackTokens = 96

/** What every benchmark gets. */
export interface Bench {
  readonly model: LlamaModel
  readonly peer: { readonly name: PeerName; readonly engine: Peer } | null
  /** Tokens of the text, at least the longest length and what all turns decode. */
  readonly tokens: Int32Array
  readonly pairs: number
  /** Policies to decode under. */
  readonly arms: readonly BenchArm[]
  readonly tiers: readonly TierName[]
  readonly modelPath: string
  readonly text: string
  readonly kernels: Kernels
  readonly progress: (label: string) => void
}

interface BenchArm {
  readonly name: string
  /** Tokens a KV head; null for a policy without a budget. */
  readonly budget: number | null
  readonly policy: CachePolicy
}

/** Runs benchmarks, and the roofs of the machine in the same run. Throws OptionError, PeerError. */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  checkOptions(options)
  const { text, onProgress: progress = () => {}, pairs = 5 } = options
  const kernels = await loadKernels(options.threads === undefined ? {} : { numThreads: options.threads })
  try {
    const rows = options.what.some(isEngineBench) ? await benchEngine(options, kernels, pairs, progress) : []
    if (options.what.includes('segment')) rows.push(...(await benchSegment(text, pairs, () => progress('segment'))))
    if (options.what.includes('donors')) {
      rows.push(...benchDonors({ numDonors: options.donors ?? 100_000, rounds: pairs, progress }))
    }
    return { machine: describeMachine(kernels), threads: kernels.numThreads, rows }
  } finally {
    await kernels.dispose()
  }
}

type EngineBench = keyof typeof defaultLengths

const isEngineBench = (what: BenchName): what is EngineBench => what in defaultLengths

async function benchEngine(
  options: BenchOptions,
  kernels: Kernels,
  pairs: number,
  progress: (label: string) => void,
): Promise<BenchRow[]> {
  const { model: path, against } = options
  const arms = armsOf(options)
  const jobs = options.what
    .filter(isEngineBench)
    .flatMap((what) => (options.lengths ?? defaultLengths[what]).map((length) => ({ what, length })))
  const longest = Math.max(...jobs.map(({ length }) => length))
  const contextTokens = longest + turnTokens
  const threads = kernels.numThreads
  const model = await loadLlama({ model: path, kernels, contextTokens })
  const peer = against
    ? {
        name: against,
        engine: await openPeer({ model: path, threads, contextTokens: contextTokens + peerSlackTokens }),
      }
    : null
  try {
    const tokens = tokensOf(model, options.text, longest + (pairs + 1) * turnTokens)
    const tiers = options.tiers ?? []
    const bench: Bench = {
      model,
      peer,
      tokens,
      pairs,
      arms,
      tiers,
      modelPath: path,
      text: options.text,
      kernels,
      progress,
    }
    progress('roofs')
    const rows = await measureRoofs(threads)
    for (const { what, length } of jobs) {
      rows.push(...(await engineBenches[what](bench, length)))
    }
    // Borrowed rows take no other memory than computed ones.
    if (jobs.every(({ what }) => what === 'reuse')) return rows
    progress('peak memory')
    rows.push(await measurePeakMemory({ model: path, threads, tokens: [...tokens.subarray(0, longest)] }))
    return rows
  } finally {
    await peer?.engine[Symbol.asyncDispose]()
    await model.dispose()
  }
}

function checkOptions(options: BenchOptions): void {
  checkKeys('BenchOptions', options, optionNames)
  if (options.what.length === 0) {
    throw new OptionError({ parameter: 'what', expected: `some of ${benchNames.join(', ')}`, got: 'nothing' })
  }
  for (const what of options.what) checkOneOf('what', what, benchNames)
  for (const tier of options.tiers ?? []) checkOneOf('tiers', tier, tierNames)
  armsOf(options)
  for (const length of options.lengths ?? []) checkInteger('lengths', length, 1)
  if (options.against !== undefined) checkOneOf('against', options.against, peerNames)
  checkInteger('pairs', options.pairs ?? 1, 1)
  checkInteger('donors', options.donors ?? 1, 1)
}

/** Throws OptionError before anything is loaded. */
function armsOf({ policies = ['sentence-kv'], budgets = [256] }: BenchOptions): BenchArm[] {
  return planArms(policies.map(parsePolicySpec), budgets)
    .filter(({ spec }) => spec.name !== 'full')
    .map((arm) => ({ name: arm.spec.text, budget: arm.budget, policy: makePolicy(arm) }))
}

function tokensOf({ tokenizer }: LlamaModel, text: string, count: number): Int32Array {
  const once = tokenizer?.encode(text) ?? new Int32Array()
  if (once.length === 0) throw new OptionError({ parameter: 'text', expected: 'text of at least one token', got: text })
  return Int32Array.from({ length: count }, (_, i) => once[i % once.length])
}

async function benchPrefill({ model, peer, tokens, pairs, progress }: Bench, length: number): Promise<BenchRow[]> {
  const prompt = tokens.subarray(0, length)
  const contestants: Record<string, Contestant> = { ours: () => timePrefill(model, prompt) }
  if (peer) contestants.theirs = () => peer.engine.prefill(prompt)
  const times = await takeTurns(contestants, pairs, () => progress(`prefill ${length}`))
  const label = { name: 'prefill', shape: `length=${length}`, unit: 'tokens/s' }
  const toRate = (ms: number) => length / (ms / 1e3)
  return [peer ? pairedRow(label, toRate, times.ours, times.theirs, peer.name) : timeRow(label, toRate, times.ours)]
}

/** With a peer also the prefill that the ratios stand on. */
async function benchReuseAndPeer(bench: Bench, length: number): Promise<BenchRow[]> {
  const prefill = bench.peer ? await benchPrefill(bench, length) : []
  return [...prefill, ...(await benchReuse(bench, length))]
}

/** Each time in a sequence of its own, so that nothing of the last one is reused. */
async function timePrefill(model: LlamaModel, prompt: Int32Array): Promise<number> {
  await using sequence = model.createSequence()
  const startMs = performance.now()
  await sequence.prefill(prompt)
  return performance.now() - startMs
}
