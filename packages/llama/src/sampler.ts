import { checkInteger, checkKeys, checkNumber, KvasirError } from '@kvasir/core'
import { randomSource } from './random.ts'

/** No token can be drawn from these logits. */
export class LogitsError extends KvasirError {}

/** Filters apply in this order: temperature, top-k, top-p, min-p. Each keeps the most probable tokens. */
export interface SamplerOptions {
  /**
   * Logits are divided by it. 0: always the most probable token (greedy).
   * @default 0
   */
  readonly temperature?: number
  /**
   * Keep this many tokens, 0 for all.
   * @default 0
   */
  readonly topK?: number
  /**
   * Keep the fewest tokens whose probabilities reach this sum, in (0, 1]. (Holtzman et al. 2020)
   * @default 1
   */
  readonly topP?: number
  /**
   * Keep tokens at least this fraction as probable as the most probable one, in [0, 1].
   * @default 0
   */
  readonly minP?: number
  /**
   * A safe integer >= 0. The same seed, options and logits give the same tokens.
   * @default a random seed
   */
  readonly seed?: number
}

export interface Sampler {
  /** The options in force, the seed included. */
  readonly options: Required<SamplerOptions>
  /**
   * Draws a token from logits [vocabSize]. Equal logits rank by id, the lower first. Minus infinity excludes a token.
   * Throws LogitsError for NaN, plus infinity, or nothing left to draw.
   */
  sample(logits: Float32Array): number
}

/** A sampler for one sequence: it advances its random numbers at each draw. Throws OptionError. */
export function createSampler(options: SamplerOptions = {}): Sampler {
  const resolved = resolveSamplerOptions(options)
  const random = randomSource(resolved.seed)
  const sample = resolved.temperature === 0 ? argmax : (logits: Float32Array) => draw(logits, resolved, random())
  return { options: resolved, sample }
}

function resolveSamplerOptions(options: SamplerOptions): Required<SamplerOptions> {
  checkKeys('sampler', options, ['temperature', 'topK', 'topP', 'minP', 'seed'])
  return {
    temperature: checkNumber('sampler.temperature', options.temperature ?? 0, 0, 1000),
    topK: checkInteger('sampler.topK', options.topK ?? 0, 0),
    topP: checkNumber('sampler.topP', options.topP ?? 1, Number.MIN_VALUE, 1),
    minP: checkNumber('sampler.minP', options.minP ?? 0, 0, 1),
    seed: checkInteger('sampler.seed', options.seed ?? Math.floor(Math.random() * 2 ** 53), 0),
  }
}

/** The id of the largest logit, the lowest of equals. Throws LogitsError. */
export function argmax(logits: Float32Array): number {
  let best = -1
  let largest = Number.NEGATIVE_INFINITY
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]
    if (logit > largest) {
      largest = logit
      best = id
    } else if (Number.isNaN(logit)) failLogit(id, logit)
  }
  if (best < 0) throw new LogitsError({ parameter: 'logits', expected: 'a finite logit', got: logits })
  if (largest === Number.POSITIVE_INFINITY) failLogit(best, largest)
  return best
}

function failLogit(id: number, logit: number): never {
  throw new LogitsError({ parameter: `logits[${id}]`, expected: 'a finite logit or -Infinity', got: logit })
}

/** Draws with `uniform` in [0, 1). Plain loops: over 150,000 logits, array methods with callbacks cost four times as much. */
function draw(logits: Float32Array, options: Required<SamplerOptions>, uniform: number): number {
  const largest = logits[argmax(logits)]
  const weights = new Float64Array(logits.length)
  for (let id = 0; id < logits.length; id++) weights[id] = Math.exp((logits[id] - largest) / options.temperature)
  const filtered = options.topK !== 0 || options.topP !== 1
  const kept = filtered ? takeMostProbable(weights, options) : allIds(weights.length)
  // The most probable token weighs 1.
  const least = Math.max(options.minP, Number.MIN_VALUE)
  let mass = 0
  for (const id of kept) if (weights[id] >= least) mass += weights[id]

  let left = uniform * mass
  let last = -1
  for (const id of kept) {
    if (weights[id] < least) continue
    last = id
    left -= weights[id]
    if (left < 0) break
  }
  // Rounding can leave a last sliver; it belongs to the last candidate.
  return last
}

function allIds(numIds: number): Int32Array {
  const ids = new Int32Array(numIds)
  for (let id = 0; id < numIds; id++) ids[id] = id
  return ids
}

/** Ids that top-k and then top-p keep, most probable first. */
function takeMostProbable(weights: Float64Array, options: Required<SamplerOptions>): number[] {
  const ranked = rankedIds(weights)
  const top = options.topK === 0 ? null : Array.from({ length: Math.min(options.topK, weights.length) }, ranked)
  let mass = 0
  for (const weight of top === null ? weights : top.map((id) => weights[id])) mass += weight
  const ids: number[] = []
  for (let sum = 0; sum < options.topP * mass && ids.length < (top ?? weights).length; ) {
    const id = top === null ? ranked() : top[ids.length]
    ids.push(id)
    sum += weights[id]
  }
  return ids
}

/** Hands out ids, most probable first, at most as many as there are. A heap: only what is taken gets sorted. */
function rankedIds(weights: Float64Array): () => number {
  const heap = allIds(weights.length)
  let size = heap.length
  for (let at = (size >> 1) - 1; at >= 0; at--) siftDown(heap, size, at, weights)
  return () => {
    const id = heap[0]
    heap[0] = heap[--size]
    siftDown(heap, size, 0, weights)
    return id
  }
}

/** Restores the heap below `at`: the more probable first, of equals the lower id. */
function siftDown(heap: Int32Array, size: number, at: number, weights: Float64Array): void {
  const id = heap[at]
  for (;;) {
    let child = 2 * at + 1
    if (child >= size) break
    if (child + 1 < size && ranksBefore(heap[child + 1], heap[child], weights)) child++
    if (!ranksBefore(heap[child], id, weights)) break
    heap[at] = heap[child]
    at = child
  }
  heap[at] = id
}

function ranksBefore(a: number, b: number, weights: Float64Array): boolean {
  return weights[a] > weights[b] || (weights[a] === weights[b] && a < b)
}
