import { checkInteger, checkKeys, DisposedError, type DonorKv, type KvFormat, type Scope } from '@kvasir/core'
import { kvBytes, readDonorLayer } from './donor-format.ts'
import { DonorLedger, type LedgerEntry } from './donor-ledger.ts'
import type { KvDonors } from './kv-donors.ts'

export interface HostDonorsOptions {
  /** Most bytes of KV and token ids, those that are being written or still read among them. Required. */
  readonly budgetBytes: number
  /** @default 65536 */
  readonly maxDonors?: number
}

interface HostDonor {
  readonly tokens: Int32Array
  readonly format: KvFormat
  readonly layers: readonly Uint8Array[]
}

/**
 * Donors in host memory. The longest unused goes first; one that is read stays. A donor of a private scope, one larger than
 * the budget, and one for which nothing can go are turned away. Throws an OptionError.
 */
export function hostDonors(options: HostDonorsOptions): KvDonors {
  checkKeys('hostDonors', options, ['budgetBytes', 'maxDonors'])
  const budgetBytes = checkInteger('budgetBytes', options.budgetBytes, 0)
  const maxDonors = checkInteger('maxDonors', options.maxDonors ?? 65_536, 1)
  return new HostDonors(new DonorLedger({ budgetBytes, maxDonors, discard: () => {} }))
}

class HostDonors implements KvDonors {
  readonly #ledger: DonorLedger<HostDonor>

  constructor(ledger: DonorLedger<HostDonor>) {
    this.#ledger = ledger
  }

  async put(donor: DonorKv, signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted()
    const bytes = this.#ledger.admits(donor)
      ? kvBytes(donor.format, donor.tokens.length) + donor.tokens.byteLength
      : null
    if (bytes !== null && (await this.#ledger.reserve(bytes))) return this.#copyIn(donor, bytes, signal)
    this.#ledger.count('refused')
    return false
  }

  async #copyIn(donor: DonorKv, bytes: number, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      const { id, scope } = donor
      const [tokens, format] = [donor.tokens.slice(), structuredClone(donor.format)]
      const layers: Uint8Array[] = []
      for (const layer of format.shape.layers.keys()) {
        layers.push((await readDonorLayer(donor, layer, signal)).slice())
      }
      this.#ledger.checkOpen()
      this.#ledger.checkOwner(id, scope)
      const payload = { tokens, format, layers }
      this.#ledger.commit({ id, scope: { ...scope }, numTokens: tokens.length, bytes, payload })
      return true
    } catch (error) {
      this.#ledger.cancel(bytes)
      throw error
    }
  }

  async open(id: string, scope: Scope, signal?: AbortSignal): Promise<DonorKv | null> {
    signal?.throwIfAborted()
    const entry = this.#ledger.find(id, scope)
    if (entry === null) return null
    this.#ledger.hold(entry)
    this.#ledger.count('hits')
    return lend(entry, () => this.#ledger.release(entry))
  }

  ids = (): readonly string[] => this.#ledger.ids()
  has = (id: string): boolean => this.#ledger.entry(id) !== null
  entry = (id: string) => this.#ledger.entry(id)
  remove = (id: string): boolean => this.#ledger.drop(id, 'removed')
  onRemove = (listener: (id: string) => void) => this.#ledger.onRemove(listener)
  counts = () => this.#ledger.counts()
  dispose = () => this.#ledger.dispose()
}

function lend({ id, scope, payload }: LedgerEntry<HostDonor>, release: () => void): DonorKv {
  let open = true
  return {
    id,
    scope,
    tokens: payload.tokens,
    format: payload.format,
    async layer(layer, signal) {
      signal?.throwIfAborted()
      checkInteger('layer', layer, 0, payload.layers.length - 1)
      if (open) return payload.layers[layer]!
      throw new DisposedError({ parameter: 'donor', expected: 'one that is not closed', got: id })
    },
    close() {
      if (open) release()
      open = false
    },
  }
}
