import type { DonorKv, Scope } from '@kvasir/core'
import type { KvDonors } from './kv-donors.ts'

/**
 * A fast store before one that has everything, usually memory before files. A put goes to the back and then to the front; an
 * open asks the back, and reads layers from the front where it has them. What was read from the back is copied to the front
 * beside. What the front lacks or refuses costs time alone: what is found, whose it is and what goes is up to the back, and
 * so are `counts`. Both stores belong to this one and are disposed with it.
 */
export function tieredDonors(front: KvDonors, back: KvDonors): KvDonors {
  return new TieredDonors(front, back)
}

class TieredDonors implements KvDonors {
  readonly #front: KvDonors
  readonly #back: KvDonors
  /** By id: copies to the front and puts under way. Never two of one id, or the older could win. */
  readonly #busy = new Map<string, Promise<unknown>>()

  constructor(front: KvDonors, back: KvDonors) {
    this.#front = front
    this.#back = back
    back.onRemove((id) => front.remove(id))
  }

  put(donor: DonorKv, signal?: AbortSignal): Promise<boolean> {
    return this.#inTurn(donor.id, async () => {
      const isPut = await this.#back.put(donor, signal)
      if (!isPut) return false
      this.#front.remove(donor.id)
      await this.#fill(donor, signal)
      return true
    })
  }

  async open(id: string, scope: Scope, signal?: AbortSignal): Promise<DonorKv | null> {
    const whole = await this.#back.open(id, scope, signal)
    if (whole === null) return null
    const isBusy = this.#busy.has(id)
    const fast = isBusy || !this.#front.has(id) ? null : await this.#front.open(id, scope).catch(() => null)
    if (fast !== null) return bothUntilClosed(fast, whole)
    if (!isBusy) void this.#inTurn(id, () => this.#copyUp(id, scope))
    return whole
  }

  async #copyUp(id: string, scope: Scope): Promise<void> {
    const donor = await this.#back.open(id, scope).catch(() => null)
    if (donor === null) return
    await this.#fill(donor)
    donor.close()
  }

  /** The back has the donor already: nothing that happens here is a failure. */
  async #fill(donor: DonorKv, signal?: AbortSignal): Promise<void> {
    const { id } = donor
    await this.#front.put(donor, signal).catch(() => false)
    if (!this.#back.has(id)) this.#front.remove(id)
  }

  /** After all that is under way with this id. */
  #inTurn<T>(id: string, work: () => Promise<T>): Promise<T> {
    const before = this.#busy.get(id) ?? Promise.resolve()
    const result = before.then(work)
    const settled: Promise<void> = result.then(
      () => this.#leave(id, settled),
      () => this.#leave(id, settled),
    )
    this.#busy.set(id, settled)
    return result
  }

  #leave(id: string, settled: Promise<unknown>): void {
    if (this.#busy.get(id) === settled) this.#busy.delete(id)
  }

  ids = () => this.#back.ids()
  has = (id: string) => this.#back.has(id)
  entry = (id: string) => this.#back.entry(id)
  remove = (id: string) => this.#back.remove(id)
  onRemove = (listener: (id: string) => void) => this.#back.onRemove(listener)
  counts = () => this.#back.counts()

  async dispose(): Promise<void> {
    await Promise.all([this.#front.dispose(), this.#back.dispose()])
    await Promise.all(this.#busy.values())
  }
}

/** The back's loan is kept beside: nothing evicts a donor that is read. */
function bothUntilClosed(fast: DonorKv, whole: DonorKv): DonorKv {
  const { id, scope, tokens, format } = fast
  return {
    id,
    scope,
    tokens,
    format,
    layer: (layer, signal) => fast.layer(layer, signal),
    close() {
      fast.close()
      whole.close()
    },
  }
}
