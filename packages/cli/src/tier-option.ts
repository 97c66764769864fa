import { tmpdir } from 'node:os'
import { hotBytesOf, type TierName, tierNames } from '@kvasir/bench'
import { checkOneOf } from '@kvasir/core'
import type { EvalTier } from '@kvasir/eval'
import { openGguf, readConfig } from '@kvasir/llama'
import type { Command } from 'commander'
import { integer, refuseStray } from './arguments.ts'
import { defaultBudget } from './policy-option.ts'
import { openScratchFolder, type ScratchFolder } from './scratch-folder.ts'

export interface TierFlags {
  readonly tier?: string
  readonly tierDir?: string
  readonly hotBytes?: number
}

export function addTierOptions(command: Command): Command {
  return command
    .option('--tier <name>', `keep KV rows in a lower tier: ${tierNames.join(', ')} (default: all in memory)`)
    .option(
      '--tier-dir <dir>',
      "folder for the tier's file, removed at the end (default: the system's temporary folder)",
    )
    .option(
      '--hot-bytes <n>',
      'most bytes of the rows of a tier that are hot (default: by the budget)',
      integer('--hot-bytes', 1),
    )
}

/** A tier as the flags ask for it, with a folder of its own where it is a file; `tier` is undefined without --tier. */
export interface OpenTier extends Disposable {
  readonly tier: EvalTier | undefined
}

/** Checks the flags before a model is loaded. Hot bytes that are not given hold what `budgets` want, twice as many rows. */
export async function openTier(
  { tier, tierDir, hotBytes }: TierFlags,
  model: string,
  budgets: readonly (number | null)[],
): Promise<OpenTier> {
  refuseStray('--tier-dir', tierDir, tier === 'file', '--tier file')
  refuseStray('--hot-bytes', hotBytes, tier !== undefined, '--tier')
  if (tier === undefined) return { tier: undefined, [Symbol.dispose]() {} }
  const kind = checkOneOf('--tier', tier as TierName, tierNames)
  const hot = hotBytes ?? (await defaultHotBytes(kind, model, budgets))
  if (kind === 'host') return { tier: { kind, hotBytes: hot }, [Symbol.dispose]() {} }
  const folder: ScratchFolder = openScratchFolder('--tier-dir', tierDir ?? tmpdir())
  return { tier: { kind, hotBytes: hot, folder: folder.path }, [Symbol.dispose]: folder[Symbol.dispose] }
}

/** What results say of a tier. */
export function describeTier(tier: EvalTier | undefined): Readonly<Record<string, string | number>> {
  return tier ? { tier: tier.kind, tierHotBytes: tier.hotBytes } : {}
}

async function defaultHotBytes(kind: TierName, model: string, budgets: readonly (number | null)[]): Promise<number> {
  await using file = await openGguf(model)
  return hotBytesOf(kind, await readConfig(file), Math.max(...budgets.map((budget) => budget ?? defaultBudget)))
}
