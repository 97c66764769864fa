import { type GgufFile, openGguf } from '@kvasir/llama'
import { isDonorFile, openDonorFile } from '@kvasir/tier'
import type { Command } from 'commander'
import { donorFileJson, donorFileText } from '../donor-file-text.ts'
import { addDonorKeyOption, type DonorKeyOption, readDonorKey } from '../donor-key.ts'
import { formatBytes, printJson, tableText } from '../output.ts'

/** Strings of the metadata are shown as far as this: chat templates fill pages. */
const shownChars = 60

interface InspectOptions extends DonorKeyOption {
  readonly json?: true
}

export function addInspectCommand(program: Command): void {
  const command = program
    .command('inspect')
    .description('show the header of a GGUF file or of stored KV, or why it is refused')
    .argument('<file>', 'GGUF file, or a file of a KV cache folder')
    .option('--json', 'print one JSON object')
  addDonorKeyOption(command).action(async (path: string, options: InspectOptions) => {
    if (await isDonorFile(path)) await inspectDonor(path, options)
    else await inspectGguf(path, options)
  })
}

async function inspectDonor(path: string, options: InspectOptions): Promise<void> {
  const file = await openDonorFile(path, await readDonorKey(options))
  try {
    if (options.json) printJson(donorFileJson(path, file))
    else process.stdout.write(`${donorFileText(file)}\n`)
  } finally {
    await file.close()
  }
}

async function inspectGguf(path: string, { json }: InspectOptions): Promise<void> {
  await using file = await openGguf(path)
  if (json) printJson(headerJson(file))
  else process.stdout.write(`${headerText(file)}\n`)
}

function headerJson(file: GgufFile) {
  const tensors = [...file.tensors.values()]
  return {
    path: file.path,
    version: file.version,
    alignment: file.alignment,
    fileBytes: file.fileBytes,
    tensorBytes: sumBytes(file),
    metadata: Object.fromEntries([...file.metadata].map(([key, value]) => [key, shorten(value)])),
    tensors: tensors.map(({ name, type, shape, byteLength }) => ({ name, type, shape, byteLength })),
  }
}

function headerText(file: GgufFile): string {
  const metadata = [...file.metadata].map(([key, value]) => [key, describe(value)])
  const tensors = [...file.tensors.values()].map(({ name, type, shape, byteLength }) => [
    name,
    type,
    shape.join(' x '),
    formatBytes(byteLength),
  ])
  return [
    `GGUF version ${file.version}, ${formatBytes(file.fileBytes)}, alignment ${file.alignment}`,
    '',
    `${metadata.length} metadata keys`,
    ...metadata.map(([key, value]) => `  ${key} = ${value}`),
    '',
    `${tensors.length} tensors, ${formatBytes(sumBytes(file))}`,
    tableText(['name', 'type', 'shape', 'size'], tensors),
  ].join('\n')
}

function sumBytes({ tensors }: GgufFile): number {
  return [...tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
}

/** Arrays by their length alone: vocabularies have tens of thousands of entries. */
function shorten(value: unknown): unknown {
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return { length: (value as ArrayLike<unknown>).length }
  return typeof value === 'bigint' ? value.toString() : value
}

function describe(value: unknown): string {
  if (Array.isArray(value) || ArrayBuffer.isView(value)) {
    return `an array of ${(value as ArrayLike<unknown>).length}`
  }
  if (typeof value !== 'string') return String(value)
  const text = JSON.stringify(value)
  return text.length > shownChars ? `${text.slice(0, shownChars)}... (${value.length} characters)` : text
}
