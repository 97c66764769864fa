import { readFile } from 'node:fs/promises'
import { OptionError } from '@kvasir/core'
import type { DonorFileOptions } from '@kvasir/tier'
import type { Command } from 'commander'

export interface DonorKeyOption {
  readonly keyFile?: string
}

export function addDonorKeyOption(command: Command): Command {
  return command.option('--key-file <file>', 'the 32 bytes of the key that KV files are sealed with')
}

/** What is needed to read sealed files. Throws an OptionError for a file that holds no key. */
export async function readDonorKey({ keyFile }: DonorKeyOption): Promise<DonorFileOptions> {
  if (keyFile === undefined) return {}
  const key = new Uint8Array(await readFile(keyFile))
  if (key.length === 32) return { key }
  throw new OptionError({ parameter: '--key-file', expected: 'a file of 32 bytes', got: `${key.length} bytes` })
}
