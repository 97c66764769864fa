import { checkInteger, DisposedError, type DonorKv, IntegrityError } from '@kvasir/core'
import type { DonorReader } from './read-donor-file.ts'

export interface LentDonorOptions {
  /** Layers that are read ahead of the one that was asked for. */
  readonly prefetchLayers: number
  /** The file is not what was written. */
  readonly onDamage: () => void
  /** Nobody reads the file any more. */
  readonly onClosed: () => void
}

/** A donor whose layers come from a file when they are asked for, the next ones beside it. */
export function lendDonor(reader: DonorReader, options: LentDonorOptions): DonorKv {
  return new LentDonor(reader, options)
}

class LentDonor implements DonorKv {
  readonly id
  readonly scope
  readonly tokens
  readonly format
  readonly #reader: DonorReader
  readonly #options: LentDonorOptions
  /** By layer: those that were read ahead. */
  readonly #ahead = new Map<number, Promise<Uint8Array>>()
  #open = true

  constructor(reader: DonorReader, options: LentDonorOptions) {
    this.id = reader.id
    this.scope = reader.scope
    this.tokens = reader.tokens
    this.format = reader.format
    this.#reader = reader
    this.#options = options
  }

  async layer(layer: number, signal?: AbortSignal): Promise<Uint8Array> {
    const { length: numLayers } = this.#reader.layers
    checkInteger('layer', layer, 0, numLayers - 1)
    signal?.throwIfAborted()
    if (!this.#open) throw new DisposedError({ parameter: 'donor', expected: 'one that is not closed', got: this.id })
    const bytes = this.#ahead.get(layer) ?? this.#reader.read(layer)
    const end = Math.min(numLayers, layer + 1 + this.#options.prefetchLayers)
    for (const old of this.#ahead.keys()) if (old <= layer || old >= end) this.#ahead.delete(old)
    for (let next = layer + 1; next < end; next++) if (!this.#ahead.has(next)) this.#readAhead(next)
    try {
      return await withSignal(bytes, signal)
    } catch (error) {
      if (error instanceof IntegrityError && this.#open) this.#options.onDamage()
      throw error
    }
  }

  /** A failure is told to who asks for the layer, if anybody does. */
  #readAhead(layer: number): void {
    const bytes = this.#reader.read(layer)
    bytes.catch(() => {})
    this.#ahead.set(layer, bytes)
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#ahead.clear()
    // A file handle closes once what it reads has come.
    void this.#reader
      .close()
      .catch(() => {})
      .then(this.#options.onClosed)
  }
}

/** The read itself goes on: the next one who asks for the layer may have it. */
function withSignal<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
