import { OptionError, type Scope } from '@kvasir/core'
import type { Arm } from '@kvasir/eval'
import type { LlamaModel } from '@kvasir/llama'
import { type DonorLibrary, donorLibrary } from '@kvasir/semshare-kv'
import { fileDonors } from '@kvasir/tier'
import type { Command } from 'commander'
import { refuseStray } from './arguments.ts'
import { addDonorKeyOption, type DonorKeyOption, readDonorKey } from './donor-key.ts'
import { defaultGroup, shareScope } from './share-scope.ts'

export interface DonorsFlags extends DonorKeyOption {
  readonly donors?: string
  readonly scope?: string
}

/** Most bytes of all donors in a folder; the longest unused go. */
const budgetBytes = 8e9

/** Policy that borrows; the only one that donors are of use for. */
const borrower = 'semshare-kv'

export function addDonorsOptions(command: Command): Command {
  command
    .option(
      '--donors <dir>',
      `keep the KV of prompts in this folder, for ${borrower} in this run and later ones (at most 8 GB, the longest unused go)`,
    )
    .option('--scope <name>', `who shares the donors: runs that name the same (default: ${defaultGroup}, this user)`)
  return addDonorKeyOption(command)
}

/** Donors as the flags ask for them; nothing without --donors. */
export interface OpenDonors extends AsyncDisposable {
  readonly resources: { readonly donors?: DonorLibrary }
  scopeOf(model: LlamaModel, policy: { readonly name: string }): { readonly scope?: Scope }
}

/** Checks the flags before a model is loaded, and takes in what the folder holds. */
export async function openDonors(flags: DonorsFlags, { spec }: Arm): Promise<OpenDonors> {
  const { donors: folder, scope, keyFile } = flags
  const borrows = spec.name === borrower
  refuseStray('--scope', scope, folder !== undefined, '--donors')
  refuseStray('--key-file', keyFile, folder !== undefined, '--donors')
  refuseStray('--donors', folder, borrows, `--policy ${borrower}`)
  if (borrows) refuseStray('--policy', spec.text, folder !== undefined, '--donors')
  if (folder === undefined) return { resources: {}, scopeOf: () => ({}), async [Symbol.asyncDispose]() {} }
  const group = checkGroup(scope ?? defaultGroup)
  const store = await fileDonors({ folder, budgetBytes, ...(await readDonorKey(flags)) })
  const donors = await donorLibrary({ store })
  return {
    resources: { donors },
    scopeOf: (model, policy) => ({ scope: shareScope(model, policy, group) }),
    async [Symbol.asyncDispose]() {
      donors.dispose()
      await store.dispose()
    },
  }
}

function checkGroup(name: string): string {
  if (/^[A-Za-z0-9._:@/+=-]{1,128}$/.test(name)) return name
  const expected = '1 to 128 characters out of A-Z a-z 0-9 . _ : @ / + = -'
  throw new OptionError({ parameter: '--scope', expected, got: name })
}
