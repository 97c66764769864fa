import { join } from 'node:path'
import { IntegrityError } from '@kvasir/core'
import type { ContainerCipher } from './container-cipher.ts'
import { type FileCalls, isAbsence, readName } from './donor-files.ts'
import type { DonorEntry } from './kv-donors.ts'
import { readDonorFile } from './read-donor-file.ts'

/** Files that are looked at side by side. */
const readers = 16

/** A file of a store, by its name. */
export interface ListedDonorFile {
  readonly path: string
  /** False for what a write left that did not end. */
  readonly isFinished: boolean
  /** What its head says; null for a file that cannot be used. */
  readonly donor: DonorEntry | null
  /** Why it cannot be used. */
  readonly refusal: Error | null
  /** When it was last used, since 1970; 0 where it cannot be. */
  readonly usedAtMs: number
}

/** What is in a store's folder, the longest unused first; files that no store made are left out. */
export async function scanFolder(
  files: FileCalls,
  cipher: ContainerCipher,
  folder: string,
): Promise<readonly ListedDonorFile[]> {
  const found: ListedDonorFile[] = []
  const names = (await files.readdir(folder)).sort().values()
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
): Promise<ListedDonorFile | null> {
  const said = readName(name)
  if (said === null) return null
  const file = { path: join(folder, name), isFinished: said.isFinished, donor: null, refusal: null, usedAtMs: 0 }
  if (!said.isFinished) return file
  try {
    const { id, scope, tokens, fileBytes, usedAtMs, close } = await readDonorFile(files, cipher, file.path)
    await close()
    if (cipher.nameOf(id) !== said.mac) {
      throw new IntegrityError({ parameter: 'name', expected: `that of donor ${id}`, got: name })
    }
    return { ...file, donor: { id, scope, numTokens: tokens.length, bytes: fileBytes }, usedAtMs }
  } catch (error) {
    return isAbsence(error) ? null : { ...file, refusal: error as Error }
  }
}
