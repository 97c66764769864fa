import { type GgufFile, openGguf } from '@kvasir/llama'
import type { Command } from 'commander'
import { formatBytes, printJson, tableText } from '../output.ts'

/** Strings of the metadata are shown as far as this: chat templates fill pages. */
const shownChars = 60

export function addInspectCommand(program: Command): void {
  program
    .command('inspect')
    .description('show the header of a GGUF file, or why it is refused')
    .argument('<file>', 'GGUF file')
    .option('--json', 'print one JSON object')
    .action(async (path: string, { json }: { json?: true }) => {
      await using file = await openGguf(path)
      if (json) printJson(headerJson(file))
      else process.stdout.write(`${headerText(file)}\n`)
    })
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
