import { createHash } from 'node:crypto'
import type { GgufFile } from './gguf/gguf-file.ts'

const sampleBytes = 4096

/**
 * Names the weights and tokenizer of a file: SHA-256 over its whole metadata, the names, types, sizes and places of its
 * tensors, and the first and last 4 KiB of each tensor. Files that differ only inside a tensor share a name.
 */
export async function fingerprint(file: GgufFile): Promise<string> {
  const hash = createHash('sha256')
  hash.update(JSON.stringify([...file.metadata], (_, value) => (typeof value === 'bigint' ? `${value}n` : value)))
  for (const [name, tensor] of file.tensors) {
    hash.update(JSON.stringify([name, tensor.type, tensor.byteLength]))
    const length = Math.min(sampleBytes, tensor.byteLength)
    hash.update(await file.readTensor(name, undefined, 0, length))
    hash.update(await file.readTensor(name, undefined, tensor.byteLength - length, length))
  }
  return hash.digest('hex')
}
