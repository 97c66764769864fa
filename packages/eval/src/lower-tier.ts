import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { checkInteger } from '@kvasir/core'
import type { LlamaOptions } from '@kvasir/llama'

/** Keeps the KV rows of a run in a lower tier: in memory beside a bounded hot part, or in a file a process. */
export type EvalTier =
  | { readonly kind: 'host'; readonly hotBytes: number }
  | { readonly kind: 'file'; readonly hotBytes: number; readonly folder: string }

/**
 * Hands `run` the tier with a new folder inside its own, and removes that folder whatever comes; without a file as it is.
 * Throws OptionError for no hot bytes, a system error where the folder is not there or cannot be written.
 */
export async function withTierFolder<T>(
  tier: EvalTier | undefined,
  run: (tier: EvalTier | undefined) => Promise<T>,
): Promise<T> {
  if (tier) checkInteger('kvTier.hotBytes', tier.hotBytes, 1)
  if (tier?.kind !== 'file') return run(tier)
  const folder = mkdtempSync(join(tier.folder, 'kvasir-kv-'))
  try {
    return await run({ ...tier, folder })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The model's option. A file is read past the system's cache where it allows, so that a read is a read. */
export function kvTierOf(tier: EvalTier): NonNullable<LlamaOptions['kvTier']> {
  const { kind, hotBytes } = tier
  if (kind === 'host') return { lower: { kind }, hotBytes }
  return { lower: { kind, path: join(tier.folder, `kv-${process.pid}`), direct: true }, hotBytes }
}
