import { randomBytes } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import type { DonorKv } from '@kvasir/core'
import { type ContainerCipher, markBytes, saltBytes } from './container-cipher.ts'
import { encodePreamble, headBytesOf, preambleBytes } from './container-layout.ts'
import { type FileCalls, writeFlags } from './donor-files.ts'
import { readDonorLayer } from './donor-format.ts'

/** A failure of the disk, not of the donor or the caller. */
export class StorageFailure extends Error {}

export interface WriteTarget {
  readonly files: FileCalls
  readonly cipher: ContainerCipher
  /** A path where nothing is; the caller removes it where this throws. */
  readonly path: string
  /** The text of the header. */
  readonly header: Uint8Array
}

/**
 * Writes one container and waits until the disk has it. Layers come first, one being written while the next is asked for; the
 * preamble comes last, so that an unfinished file does not even begin like one. Throws a StorageFailure where the disk fails,
 * and what `donor` throws.
 */
export async function writeDonorFile(target: WriteTarget, donor: DonorKv, signal?: AbortSignal): Promise<void> {
  const { files, cipher, path, header } = target
  const file = await onDisk(() => files.open(path, writeFlags, 0o600))
  try {
    const numLayers = donor.format.shape.layers.length
    const salt = randomBytes(saltBytes)
    const preamble = {
      sealed: cipher.sealed,
      headerBytes: header.length,
      numTokens: donor.tokens.length,
      numLayers,
      salt,
    }
    const own = cipher.forFile(salt)
    const marks = new Uint8Array(numLayers * markBytes)
    let at = headBytesOf(preamble)
    let writing: Promise<void> = Promise.resolve()
    for (let layer = 0; layer < numLayers; layer++) {
      const part = { number: layer + 1, binding: header }
      const { stored, mark } = await own.seal(part, await readDonorLayer(donor, layer, signal), signal)
      marks.set(mark, layer * markBytes)
      await writing
      writing = writeAll(file, stored, at)
      // Where the next layer fails first, that is what is told.
      writing.catch(() => {})
      at += stored.length
    }
    await writing
    const start = encodePreamble(preamble)
    const body = Buffer.concat([header, bytesOf(donor.tokens), marks])
    const head = await own.seal({ number: 0, binding: start }, body, signal)
    await writeAll(file, Buffer.concat([head.stored, head.mark]), preambleBytes)
    await writeAll(file, start, 0)
    await onDisk(() => file.datasync())
  } finally {
    await file.close().catch(() => {})
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await onDisk(() => file.write(bytes, at, bytes.length - at, position + at))
    if (bytesWritten === 0) throw new StorageFailure('nothing was written')
    at += bytesWritten
  }
}

/** Runs one call to the disk. */
export async function onDisk<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw new StorageFailure('the disk failed', { cause: error })
  }
}

function bytesOf(tokens: Int32Array): Uint8Array {
  return new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength)
}
