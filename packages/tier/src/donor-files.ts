import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import fs from 'node:fs/promises'
import { join } from 'node:path'

/** The calls by which stores reach a disk. */
export type FileCalls = Pick<typeof fs, 'mkdir' | 'open' | 'readdir' | 'rename' | 'unlink'>

export const systemFiles: FileCalls = fs

/** No symlinks, and no waiting for a pipe that stands where a file should. */
export const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** Only new files. */
export const writeFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/** `id` is not in the name: what is, is its MAC and a number that is drawn anew for each file. */
export function newNames(folder: string, mac: string): { readonly path: string; readonly temporary: string } {
  const path = join(folder, `${mac}-${randomBytes(8).toString('hex')}`)
  return { path: `${path}.kv`, temporary: `${path}.part` }
}

const ownName = /^([0-9a-f]{64})-[0-9a-f]{16}\.(kv|part)$/

/** What the name of a file says; null for files that no store made. */
export function readName(name: string): { readonly mac: string; readonly isFinished: boolean } | null {
  const [, mac, ending] = ownName.exec(name) ?? []
  return mac === undefined ? null : { mac, isFinished: ending === 'kv' }
}

/** Renames are on the disk after this, not before. */
export async function syncFolder(files: FileCalls, folder: string): Promise<void> {
  const handle = await files.open(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Content that is not there is gone. */
export async function removeFile(files: FileCalls, path: string): Promise<void> {
  await files.unlink(path).catch((error: unknown) => {
    if (!isAbsence(error)) throw error
  })
}

/** True if all are gone. */
export async function removeAll(files: FileCalls, paths: readonly string[]): Promise<boolean> {
  const removed = await Promise.allSettled(paths.map((path) => removeFile(files, path)))
  return removed.every(({ status }) => status === 'fulfilled')
}

export function isAbsence(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === 'ENOENT'
}
