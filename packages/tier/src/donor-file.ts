import { checkKeys } from '@kvasir/core'
import { ContainerCipher, checkKey } from './container-cipher.ts'
import { magic } from './container-layout.ts'
import { readFlags, systemFiles } from './donor-files.ts'
import { type DonorReader, readDonorFile } from './read-donor-file.ts'
import { type ListedDonorFile, scanFolder } from './scan-folder.ts'

export interface DonorFileOptions {
  /** The key of the store that wrote it. @default none */
  readonly key?: Uint8Array
}

/** True if the file begins as the containers of `fileDonors` do. Throws what the system throws for one that cannot be read. */
export async function isDonorFile(path: string): Promise<boolean> {
  const file = await systemFiles.open(path, readFlags)
  try {
    const start = new Uint8Array(magic.length)
    await file.read(start, 0, start.length, 0)
    return magic.equals(start)
  } finally {
    await file.close()
  }
}

/** One container, for looking at. Throws an IntegrityError that names the field for which it is refused. */
export function openDonorFile(path: string, options: DonorFileOptions = {}): Promise<DonorReader> {
  return readDonorFile(systemFiles, cipherOf('openDonorFile', options), path)
}

/** The files of a store in `folder`, the longest unused first; changes nothing. */
export function listDonorFiles(folder: string, options: DonorFileOptions = {}): Promise<readonly ListedDonorFile[]> {
  return scanFolder(systemFiles, cipherOf('listDonorFiles', options), folder)
}

function cipherOf(owner: string, options: DonorFileOptions): ContainerCipher {
  checkKeys(owner, options, ['key'])
  return new ContainerCipher(checkKey(options.key))
}
