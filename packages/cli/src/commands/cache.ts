import { rm, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { IntegrityError } from '@kvasir/core'
import { type DonorFileOptions, type ListedDonorFile, listDonorFiles, openDonorFile } from '@kvasir/tier'
import type { Command } from 'commander'
import { addDonorKeyOption, type DonorKeyOption, readDonorKey } from '../donor-key.ts'
import { formatBytes, printJson, startProgress, tableText } from '../output.ts'

interface CacheOptions extends DonorKeyOption {
  readonly json?: true
}

export function addCacheCommand(program: Command): void {
  const cache = program.command('cache').description('folders in which KV is stored to be lent')
  addAction(cache, 'ls', 'list what is there, the longest unused first', listFolder)
  addAction(cache, 'verify', 'read every byte and say which files are damaged', verifyFolder)
  addAction(cache, 'rm', 'remove the stored KV, and no other files', removeFolder)
}

type Action = (folder: string, key: DonorFileOptions, json: boolean) => Promise<void>

function addAction(cache: Command, name: string, description: string, action: Action): void {
  addDonorKeyOption(cache.command(name).description(description).argument('<dir>', 'folder'))
    .option('--json', 'print one JSON object')
    .action(async (folder: string, options: CacheOptions) => {
      await action(folder, await readDonorKey(options), options.json === true)
    })
}

const listFolder: Action = async (folder, key, json) => {
  const files = await Promise.all((await listDonorFiles(folder, key)).map(describeFile))
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  if (json) printJson({ folder, bytes, files })
  else process.stdout.write(`${listText(files)}\n${files.length} files, ${formatBytes(bytes)}\n`)
}

type DescribedFile = Awaited<ReturnType<typeof describeFile>>

async function describeFile({ path, isFinished, donor, refusal, usedAtMs }: ListedDonorFile) {
  const { size } = await stat(path)
  const usedAt = donor === null ? null : new Date(usedAtMs).toISOString()
  const { id = null, scope = null, numTokens = null } = donor ?? {}
  return {
    name: basename(path),
    bytes: size,
    isFinished,
    id,
    scope,
    numTokens,
    usedAt,
    refusal: refusal?.message ?? null,
  }
}

function listText(files: readonly DescribedFile[]): string {
  const rows = files.map(({ name, id, scope, numTokens, bytes, usedAt, isFinished, refusal }) => [
    id ?? name,
    scope === null ? '' : `${scope.tenant}/${scope.group}`,
    String(numTokens ?? ''),
    formatBytes(bytes),
    usedAt ?? (isFinished ? `refused: ${refusal}` : 'unfinished'),
  ])
  return tableText(['donor', 'tenant/group', 'tokens', 'size', 'used'], rows)
}

const verifyFolder: Action = async (folder, key, json) => {
  const files = await listDonorFiles(folder, key)
  const damaged: { name: string; reason: string }[] = []
  const progress = startProgress(files.length, 'verify')
  for (const [at, file] of files.entries()) {
    const reason = await damageOf(file, key)
    if (reason !== null) damaged.push({ name: basename(file.path), reason })
    progress.update(at + 1, file.donor?.id ?? basename(file.path))
  }
  progress.stop()
  const unfinished = files.filter(({ isFinished }) => !isFinished).length
  const sound = files.length - unfinished - damaged.length
  if (json) printJson({ folder, sound, unfinished, damaged })
  else {
    for (const { name, reason } of damaged) process.stdout.write(`${name}: ${reason}\n`)
    process.stdout.write(`${sound} sound, ${damaged.length} damaged, ${unfinished} unfinished\n`)
  }
  if (damaged.length === 0) return
  throw new IntegrityError({ parameter: folder, expected: 'sound files', got: `${damaged.length} damaged ones` })
}

/** Why a file cannot be used, after every layer was read; null for a sound or unfinished one. */
async function damageOf(file: ListedDonorFile, key: DonorFileOptions): Promise<string | null> {
  if (!file.isFinished) return null
  try {
    if (file.refusal !== null) throw file.refusal
    const donor = await openDonorFile(file.path, key)
    try {
      for (const layer of donor.layers.keys()) await donor.read(layer)
    } finally {
      await donor.close()
    }
    return null
  } catch (error) {
    return (error as Error).message
  }
}

const removeFolder: Action = async (folder, key, json) => {
  const files = await Promise.all(
    (await listDonorFiles(folder, key)).map(async ({ path }) => [path, await stat(path)] as const),
  )
  for (const [path] of files) await rm(path)
  const bytes = files.reduce((sum, [, { size }]) => sum + size, 0)
  if (json) printJson({ folder, removed: files.length, bytes })
  else process.stdout.write(`${files.length} files removed, ${formatBytes(bytes)}\n`)
}
