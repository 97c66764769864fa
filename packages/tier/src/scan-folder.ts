import { join } from 'node:path'
import { IntegrityError } from '@kvasir/core'
import type { ContainerCipher } from './container-cipher.ts'
import { type FileCalls, isAbsence, readName, removeAll } from './donor-files.ts'
import type { DonorEntry } from './kv-donors.ts'
import { readDonorFile } from './read-donor-file.ts'

/** Files that are looked at side by side. */
const readers = 16

export interface ScannedFile {
  readonly path: string
  /** Null for a file that cannot be used. */
  readonly head: DonorEntry | null
  readonly usedAtMs: number
}

/** What is in a store's folder, the longest unused first. What unfinished writes left is removed, other files are let be. */
export async function scanFolder(
  files: FileCalls,
  cipher: ContainerCipher,
  folder: string,
): Promise<readonly ScannedFile[]> {
  const found: ScannedFile[] = []
  const names = (await files.readdir(folder)).values()
  await Promise.all(
    Array.from({ length: readers }, async () => {
      for (const name of names) {
        const file = await scanFile(files, cipher, folder, name)
        if (file !== null) found.push(file)
      }
    }),
  )
  return found.sort((a, b) => a.usedAtMs - b.usedAtMs)
}

async function scanFile(
  files: FileCalls,
  cipher: ContainerCipher,
  folder: string,
  name: string,
): Promise<ScannedFile | null> {
  const said = readName(name)
  if (said === null) return null
  const path = join(folder, name)
  if (!said.isFinished) {
    await removeAll(files, [path])
    return null
  }
  try {
    const { id, scope, tokens, fileBytes, usedAtMs, close } = await readDonorFile(files, cipher, path)
    await close()
    if (cipher.nameOf(id) !== said.mac)
      throw new IntegrityError({ parameter: 'name', expected: `that of ${id}`, got: name })
    return { path, head: { id, scope, numTokens: tokens.length, bytes: fileBytes }, usedAtMs }
  } catch (error) {
    return isAbsence(error) ? null : { path, head: null, usedAtMs: 0 }
  }
}
