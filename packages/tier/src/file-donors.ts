import { resolve } from 'node:path'
import { checkInteger, checkKeys, type DonorKv, IntegrityError, OptionError, type Scope, sameScope } from '@kvasir/core'
import { ContainerCipher, checkKey } from './container-cipher.ts'
import { encodeHeader } from './container-header.ts'
import { containerBytes, fitsContainer } from './container-layout.ts'
import { type FileCalls, isAbsence, newNames, removeAll, removeFile, syncFolder, systemFiles } from './donor-files.ts'
import { DonorLedger, type LedgerEntry } from './donor-ledger.ts'
import type { KvDonors } from './kv-donors.ts'
import { lendDonor } from './lent-donor.ts'
import { type DonorReader, readDonorFile } from './read-donor-file.ts'
import { type ListedDonorFile, scanFolder } from './scan-folder.ts'
import { onDisk, StorageFailure, writeDonorFile } from './write-donor-file.ts'

export interface FileDonorsOptions {
  /** Belongs to one store of one process; made with mode 0700 where it is not there. Required. */
  readonly folder: string
  /** Most bytes of all files, those that are being written among them. Required. */
  readonly budgetBytes: number
  /** @default 65536 */
  readonly maxDonors?: number
  /** Layers that a donor reads ahead of the one that was asked for, each in memory until it is. @default 2 */
  readonly prefetchLayers?: number
  /**
   * 32 random bytes. Files are sealed with it: nobody reads or forges them without. @default none: damage is found, the rows
   * lie open
   */
  readonly key?: Uint8Array
}

interface StoredFile {
  readonly path: string
}

/**
 * Donors in files, one each, which a later process finds again. Writes are atomic, every byte that is read was checked, what
 * the disk refuses is turned away, and a damaged file is removed. Throws an OptionError, and what the system throws for a folder
 * that cannot be had.
 */
export function fileDonors(options: FileDonorsOptions): Promise<KvDonors> {
  return openFileDonors(options, systemFiles)
}

export async function openFileDonors(options: FileDonorsOptions, files: FileCalls): Promise<KvDonors> {
  checkKeys('fileDonors', options, ['folder', 'budgetBytes', 'maxDonors', 'prefetchLayers', 'key'])
  if (typeof options.folder !== 'string' || options.folder === '') {
    throw new OptionError({ parameter: 'folder', expected: 'a path', got: options.folder })
  }
  const folder = resolve(options.folder)
  const ledger = new DonorLedger<StoredFile>({
    budgetBytes: checkInteger('budgetBytes', options.budgetBytes, 0),
    maxDonors: checkInteger('maxDonors', options.maxDonors ?? 65_536, 1),
    discard: ({ path }) => removeFile(files, path),
  })
  const prefetchLayers = checkInteger('prefetchLayers', options.prefetchLayers ?? 2, 0, 64)
  const cipher = new ContainerCipher(checkKey(options.key))
  await files.mkdir(folder, { recursive: true, mode: 0o700 })
  for (const found of await scanFolder(files, cipher, folder)) await takeIn(ledger, files, found)
  return new FileDonors({ folder, files, cipher, ledger, prefetchLayers })
}

/** Takes a donor that was there before; what is damaged, unfinished or more than the budget goes. */
async function takeIn(ledger: DonorLedger<StoredFile>, files: FileCalls, file: ListedDonorFile): Promise<void> {
  const { path, donor, refusal } = file
  if (refusal !== null) ledger.count('damaged')
  if (donor !== null && (await ledger.reserve(donor.bytes))) ledger.commit({ ...donor, payload: { path } })
  else await removeAll(files, [path])
}

interface FileDonorsParts {
  readonly folder: string
  readonly files: FileCalls
  readonly cipher: ContainerCipher
  readonly ledger: DonorLedger<StoredFile>
  readonly prefetchLayers: number
}

class FileDonors implements KvDonors {
  readonly #parts: FileDonorsParts
  readonly #busy = new Set<Promise<unknown>>()

  constructor(parts: FileDonorsParts) {
    this.#parts = parts
  }

  put(donor: DonorKv, signal?: AbortSignal): Promise<boolean> {
    const work = this.#put(donor, signal)
    const settled: Promise<unknown> = work.catch(() => {}).finally(() => this.#busy.delete(settled))
    this.#busy.add(settled)
    return work
  }

  async #put(donor: DonorKv, signal: AbortSignal | undefined): Promise<boolean> {
    const { ledger } = this.#parts
    signal?.throwIfAborted()
    if (ledger.admits(donor)) {
      const header = encodeHeader(donor)
      const bytes = containerBytes(donor.format, header.length, donor.tokens.length)
      const fits = fitsContainer(donor.format, header.length, donor.tokens.length)
      if (fits && (await ledger.reserve(bytes)) && (await this.#write(donor, header, bytes, signal))) return true
    }
    ledger.count('refused')
    return false
  }

  /** False where the disk failed; then nothing of it is left there. */
  async #write(donor: DonorKv, header: Uint8Array, bytes: number, signal: AbortSignal | undefined): Promise<boolean> {
    const { ledger, files, cipher, folder } = this.#parts
    const { id, scope } = donor
    const { path, temporary } = newNames(folder, cipher.nameOf(id))
    try {
      await writeDonorFile({ files, cipher, path: temporary, header }, donor, signal)
      await onDisk(() => files.rename(temporary, path))
      await onDisk(() => syncFolder(files, folder))
      ledger.checkOpen()
      ledger.checkOwner(id, scope)
      ledger.commit({ id, scope: { ...scope }, numTokens: donor.tokens.length, bytes, payload: { path } })
      return true
    } catch (error) {
      const isGone = await removeAll(files, [temporary, path])
      ledger.cancel(isGone ? bytes : 0)
      if (error instanceof StorageFailure) return false
      throw error
    }
  }

  async open(id: string, scope: Scope, signal?: AbortSignal): Promise<DonorKv | null> {
    signal?.throwIfAborted()
    const { ledger, prefetchLayers } = this.#parts
    const entry = ledger.find(id, scope)
    if (entry === null) return null
    ledger.hold(entry)
    const reader = await this.#read(entry)
    if (reader === null) {
      ledger.count('misses')
      return null
    }
    ledger.count('hits')
    void reader.touch().catch(() => {})
    return lendDonor(reader, {
      prefetchLayers,
      onDamage: () => ledger.dropEntry(entry, 'damaged'),
      onClosed: () => ledger.release(entry),
    })
  }

  /** Null, and no reader of the entry any more, where the file cannot be had. Throws an IntegrityError for a damaged one. */
  async #read(entry: LedgerEntry<StoredFile>): Promise<DonorReader | null> {
    const { ledger, files, cipher } = this.#parts
    try {
      const reader = await readDonorFile(files, cipher, entry.payload.path)
      if (reader.id === entry.id && sameScope(reader.scope, entry.scope)) return reader
      await reader.close().catch(() => {})
      throw new IntegrityError({ parameter: 'header.id', expected: entry.id, got: reader.id })
    } catch (error) {
      if (error instanceof IntegrityError) ledger.dropEntry(entry, 'damaged')
      else if (isAbsence(error)) ledger.dropEntry(entry, 'removed')
      ledger.release(entry)
      if (error instanceof IntegrityError) throw error
      return null
    }
  }

  ids = (): readonly string[] => this.#parts.ledger.ids()
  has = (id: string): boolean => this.#parts.ledger.entry(id) !== null
  entry = (id: string) => this.#parts.ledger.entry(id)
  remove = (id: string): boolean => this.#parts.ledger.drop(id, 'removed')
  onRemove = (listener: (id: string) => void) => this.#parts.ledger.onRemove(listener)
  counts = () => this.#parts.ledger.counts()

  async dispose(): Promise<void> {
    await this.#parts.ledger.dispose()
    await Promise.all(this.#busy)
  }
}
