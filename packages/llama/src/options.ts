import { checkInteger, checkKeys, checkOneOf, type DonorStore, pageTokens, type QuarantineEvent } from '@kvasir/core'
import type { Kernels, TierOptions } from '@kvasir/kernels'

export interface LlamaOptions {
  /** Path of a GGUF file. Required. */
  readonly model: string
  /** Kernels to run on. @default the best backend there is, which the model then owns and disposes */
  readonly kernels?: Kernels
  /** exact: float32 activations. fast: activations rounded to 8 bits where it pays. @default 'fast' */
  readonly mode?: 'exact' | 'fast'
  /** How KV rows are stored. @default 'f16' */
  readonly kvType?: 'f16' | 'f32'
  /** Keeps KV rows in a lower tier and a bounded part of them hot; see `tieredKv` of @kvasir/tier. @default all rows in memory */
  readonly kvTier?: TierOptions
  /** Where policies publish KV rows and borrow them, such as `hostDonors()` of @kvasir/tier. @default nothing is lent */
  readonly donors?: DonorStore
  /** Most tokens of a sequence. @default the model's own context, at most 8,192 */
  readonly contextTokens?: number
  /** Tokens of KV memory that all sequences share; taken from the system as it fills. @default twice contextTokens */
  readonly kvCapacityTokens?: number
  /** Most sequences of one decode call. @default 16 */
  readonly maxBatch?: number
  /** Rows of one prefill call; aborts and other sequences wait for at most one. @default 512 */
  readonly chunkTokens?: number
  /** Told when a policy is put aside for a sequence because a hook threw or gave an invalid plan. @default silent */
  readonly onQuarantine?: (event: QuarantineEvent) => void
}

const optionNames = [
  'model',
  'kernels',
  'mode',
  'kvType',
  'kvTier',
  'donors',
  'contextTokens',
  'kvCapacityTokens',
  'maxBatch',
  'chunkTokens',
  'onQuarantine',
] as const

export interface ResolvedOptions {
  readonly mode: 'exact' | 'fast'
  readonly kvType: 'f16' | 'f32'
  readonly kvTier: TierOptions | undefined
  readonly donors: DonorStore | null
  readonly contextTokens: number
  readonly kvCapacityTokens: number
  readonly maxBatch: number
  readonly chunkTokens: number
  readonly onQuarantine: (event: QuarantineEvent) => void
}

/** Throws OptionError for unknown keys, so that a misspelling shows before the file is opened. */
export function checkOptionKeys(options: LlamaOptions): void {
  checkKeys('LlamaOptions', options, optionNames)
}

/** All defaults, once; `trainedTokens` is the context of the model's training. */
export function resolveOptions(options: LlamaOptions, trainedTokens: number): ResolvedOptions {
  const contextTokens = options.contextTokens ?? Math.min(trainedTokens, 8192)
  checkInteger('contextTokens', contextTokens, 1, trainedTokens)
  return {
    mode: checkOneOf('mode', options.mode ?? 'fast', ['exact', 'fast']),
    kvTier: options.kvTier,
    donors: options.donors ?? null,
    kvType: checkOneOf('kvType', options.kvType ?? 'f16', ['f16', 'f32']),
    contextTokens,
    kvCapacityTokens: checkInteger('kvCapacityTokens', options.kvCapacityTokens ?? 2 * contextTokens, pageTokens),
    maxBatch: checkInteger('maxBatch', options.maxBatch ?? 16, 1, 1024),
    chunkTokens: checkInteger('chunkTokens', options.chunkTokens ?? 512, 1, 65536),
    onQuarantine: options.onQuarantine ?? (() => {}),
  }
}
