import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CachePolicy, pageTokens } from '@kvasir/core'
import type { Kernels } from '@kvasir/kernels'
import { type LlamaConfig, loadLlama, type Sequence } from '@kvasir/llama'
import { fileTier, hostTier, hotBytesFor } from '@kvasir/tier'

/** host: rows in memory beside the slots. file: past the system's file cache where it allows, so that a read is a read. */
export const tierNames = ['host', 'file'] as const
export type TierName = (typeof tierNames)[number]

/** A sequence of the prompt whose KV lies in a lower tier. */
export interface TieredSequence extends AsyncDisposable {
  readonly name: TierName
  readonly hotBytes: number
  readonly sequence: Sequence
}

export interface TieredOptions {
  readonly model: string
  readonly config: LlamaConfig
  readonly kernels: Kernels
  readonly contextTokens: number
  readonly prompt: Int32Array
  readonly policy: CachePolicy
  readonly budgetTokens: number
}

/** Loads the model once more over the same kernels, with room for this one sequence, and prefills it. */
export async function openTiered(name: TierName, options: TieredOptions): Promise<TieredSequence> {
  const { kernels, config, contextTokens, prompt, policy, budgetTokens } = options
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-bench-'))
  const hotBytes = name === 'host' ? hotBytesOf(name, config, budgetTokens) : hotBytesOfHalf(config, contextTokens)
  const model = await loadLlama({
    model: options.model,
    kernels,
    contextTokens,
    kvCapacityTokens: contextTokens + 64,
    kvTier: { lower: name === 'host' ? hostTier() : fileTier({ path: join(folder, 'kv'), direct: true }), hotBytes },
  })
  const sequence = model.createSequence({ policy })
  await sequence.prefill(prompt)
  return {
    name,
    hotBytes,
    sequence,
    async [Symbol.asyncDispose]() {
      await sequence.dispose()
      await model.dispose()
      rmSync(folder, { recursive: true })
    },
  }
}

/**
 * Rows: twice the budget. Blocks of 16: half as many as the budget has tokens, as chosen tokens lie apart; of a long
 * context that is little, and every step reads many of them anew.
 */
export function hotBytesOf(name: TierName, config: LlamaConfig, budgetTokens: number): number {
  const { numLayers, numKvHeads, headDim } = config
  const shape = { numLayers, numKvHeads, headDim }
  return name === 'host'
    ? hotBytesFor({ ...shape, unit: 'row' }, 2 * budgetTokens)
    : hotBytesFor({ ...shape, unit: 'block' }, Math.ceil(budgetTokens / 2))
}

/** For half of the blocks: so many that few steps wait long for a file. */
function hotBytesOfHalf({ numLayers, numKvHeads, headDim }: LlamaConfig, contextTokens: number): number {
  return hotBytesFor({ numLayers, numKvHeads, headDim, unit: 'block' }, Math.ceil(contextTokens / pageTokens / 2))
}
