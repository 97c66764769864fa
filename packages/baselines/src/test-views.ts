import {
  type CachePolicy,
  type EngineProfile,
  indicesOfRow,
  type KvReader,
  type PolicySession,
  type PrefillView,
  type PromptAttention,
  privateScope,
  type Selection,
  type StepView,
} from '@kvasir/core'
import { seededRandom } from '@kvasir/core/testing'

/** What tests show to sessions: random rows and attention of a model of two layers, 6 query and 2 KV heads. */
export const shape = { numLayers: 2, numHeads: 6, numKvHeads: 2, headDim: 6 }

const layer = { numHeads: shape.numHeads, numKvHeads: shape.numKvHeads, headDim: shape.headDim, rope: null }

const profile: EngineProfile = {
  name: 'double',
  shape: { layers: [layer, layer] },
  capabilities: new Set(),
  contextTokens: 4096,
}

export const heads = [0, 1].flatMap((ofLayer) => [0, 1].map((kvHead) => [ofLayer, kvHead] as const))

export function openSession(policy: CachePolicy): PolicySession {
  return policy.open({ id: 's', profile, scope: privateScope('s') })
}

/** Random keys that are the same whenever they are read, and a count of those that were. */
export function randomKv(numTokens: number, seed = 1) {
  const keys = heads.map((_, at) => seededRandom(seed + at).normals(4096 * shape.headDim))
  const seen = { numKeys: 0 }
  const read = (ofLayer: number, kvHead: number, start: number, end: number) => {
    seen.numKeys += end - start
    return keys[ofLayer * 2 + kvHead].slice(start * shape.headDim, end * shape.headDim)
  }
  const reader = (length: number, evicted: KvReader['evicted'] = []): KvReader => ({
    numTokens: length,
    evicted,
    keys: read,
    values: read,
  })
  const keyOf = (ofLayer: number, kvHead: number, index: number) =>
    Array.from(keys[ofLayer * 2 + kvHead].subarray(index * shape.headDim, (index + 1) * shape.headDim))
  return { kv: reader(numTokens), reader, keyOf, seen }
}

/** Attention whose mass [numHeads][numTokens] is drawn from the seed; the window's differs from the total. */
export function randomAttention(numTokens: number, windowTokens: number, seed = 1) {
  const massOf = (ofLayer: number, salt: number) => {
    const random = seededRandom(seed + 10 * ofLayer + salt)
    return Float32Array.from({ length: shape.numHeads * numTokens }, () => random.uniform())
  }
  const attention: PromptAttention = {
    windowTokens: Math.min(windowTokens, numTokens),
    windowMass: async (ofLayer) => massOf(ofLayer, 0),
    totalMass: async (ofLayer) => massOf(ofLayer, 5),
  }
  return attention
}

export function lastChunk(kv: KvReader, attention?: PromptAttention): PrefillView {
  return { tokens: new Int32Array(0), pieces: [], start: 0, last: true, kv, ...(attention && { attention }) }
}

export function stepOf(kv: KvReader, ofLayer: number, numTokens: number, more: Partial<StepView> = {}): StepView {
  return { layer: ofLayer, numTokens, queries: null, piece: '', kv, ...more }
}

/** The rows of each KV head. */
export function rowsOf(selection: Selection): number[][] {
  if (selection.kind !== 'runs') throw new Error(`expected runs, got ${selection.kind}`)
  return [0, 1].map((kvHead) => indicesOfRow(selection.runs, kvHead))
}

export const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i], 0)

export const range = (start: number, end: number) => Array.from({ length: end - start }, (_, at) => start + at)

/** Softmax weights over `indices` of scores that depend on layer, query head, row and length alone: [group][indices.length]. */
export function randomWeights(ofLayer: number, numTokens: number): NonNullable<StepView['weights']> {
  const group = shape.numHeads / shape.numKvHeads
  return (kvHead, indices) => {
    const weights = new Float32Array(group * indices.length)
    for (let head = 0; head < group; head++) {
      const exps = Array.from(indices, (index) => {
        const seed = ((ofLayer * 8 + kvHead * group + head) * 4096 + index) * 4096 + numTokens
        return Math.exp(3 * seededRandom(seed).uniform())
      })
      const total = exps.reduce((sum, value) => sum + value, 0)
      weights.set(
        exps.map((value) => value / total),
        head * indices.length,
      )
    }
    return weights
  }
}
