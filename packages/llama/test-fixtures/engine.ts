import type { CachePolicy, KvReader } from '@kvasir/core'
import { type LlamaModel, type LlamaOptions, loadLlama } from '../src/index.ts'
import { modelPath } from './fixtures.ts'

type Variant = Pick<LlamaOptions, 'mode' | 'kvType' | 'chunkTokens' | 'kernels'>

const loaded = new Map<string, Promise<LlamaModel>>()

interface BundledModel {
  readonly model: LlamaModel
  /** KV rows of a prompt. */
  keysAndValues(ids: readonly number[]): Promise<KvReader>
}

/** The bundled model in some variant, loaded once a test file; null where it was not checked out. */
export const bundledModel = modelPath === null ? null : (variant: Variant = {}) => load(modelPath!, variant)

async function load(path: string, variant: Variant): Promise<BundledModel> {
  const key = JSON.stringify([variant.mode, variant.kvType, variant.chunkTokens])
  const model = await (loaded.get(key) ??
    loaded.set(key, loadLlama({ model: path, contextTokens: 4096, ...variant })).get(key)!)
  return { model, keysAndValues: (ids) => captureKv(model, ids) }
}

/** Logits of every token of a prompt. */
export async function readRows(ids: readonly number[], variant: Variant): Promise<Float32Array[]> {
  const { model } = await bundledModel!(variant)
  return rowsOf(model, ids)
}

export async function rowsOf(model: LlamaModel, ids: readonly number[]): Promise<Float32Array[]> {
  await using sequence = model.createSequence()
  const rows: Float32Array[] = []
  await sequence.prefill(ids, { onLogits: (_, logits) => rows.push(logits.slice()) })
  return rows
}

/** Reads the rows through the view that a policy gets. */
async function captureKv(model: LlamaModel, ids: readonly number[]): Promise<KvReader> {
  let reader: KvReader | undefined
  const policy: CachePolicy = {
    name: 'capture',
    effects: { slots: ['retain'], fidelity: 'exact' },
    bind: () => {},
    open: () => ({
      retain: async ({ kv }) => {
        reader = kv
        return {}
      },
      [Symbol.asyncDispose]: async () => {},
    }),
  }
  await model.createSequence({ policy }).prefill(ids)
  return reader!
}

export function logSumExpOf(row: Float32Array): number {
  let max = Number.NEGATIVE_INFINITY
  for (const value of row) if (value > max) max = value
  let sum = 0
  for (const value of row) sum += Math.exp(value - max)
  return max + Math.log(sum)
}

export function argMaxOf(row: Float32Array): number {
  let best = 0
  for (let i = 1; i < row.length; i++) if (row[i] > row[best]) best = i
  return best
}
