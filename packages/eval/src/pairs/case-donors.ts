import { type DonorKv, type DonorStore, KvasirError, type Scope } from '@kvasir/core'

/** A donor store that policies ask, and from which a donor can be taken away. */
export interface LendingStore extends DonorStore {
  remove(id: string): unknown
}

/**
 * The store of the engine that runs pairs. It catches the one donor of a case when that is published and lends it to one
 * run at a time, under the scope of that run: nobody borrows from another case, policy or round.
 */
export class CaseDonors<Library extends LendingStore = LendingStore> implements DonorStore {
  /** What policies ask. */
  readonly library: Library
  #caught: DonorKv | null = null
  #isCatching = false
  #lent = 0

  constructor(library: Library) {
    this.library = library
  }

  /** Takes in what `publish` puts. Throws KvasirError where that puts nothing. */
  async catchDonor(publish: () => Promise<unknown>): Promise<DonorKv> {
    this.#isCatching = true
    this.#caught = null
    try {
      await publish()
    } finally {
      this.#isCatching = false
    }
    if (this.#caught !== null) return this.#caught
    throw new KvasirError({ parameter: 'donor', expected: 'one that the engine publishes', got: 'none' })
  }

  /** Lends the donor while `run` runs. Throws KvasirError where the library turns it away. */
  async lend<Result>(donor: DonorKv, scope: Scope, run: () => Promise<Result>): Promise<Result> {
    const id = `donor-${++this.#lent}`
    const isPut = await this.library.put({ ...donor, id, scope, layer: donor.layer, close: () => {} })
    if (!isPut) throw new KvasirError({ parameter: 'donor', expected: 'one that the library takes', got: id })
    try {
      return await run()
    } finally {
      this.library.remove(id)
    }
  }

  /** What a run publishes itself is turned away. */
  async put(donor: DonorKv): Promise<boolean> {
    if (this.#isCatching) this.#caught = await copyDonor(donor)
    return this.#isCatching
  }

  open(id: string, scope: Scope, signal?: AbortSignal): Promise<DonorKv | null> {
    return this.library.open(id, scope, signal)
  }
}

async function copyDonor(donor: DonorKv): Promise<DonorKv> {
  const { id, scope, format } = donor
  const tokens = donor.tokens.slice()
  const layers: Uint8Array[] = []
  for (const layer of format.shape.layers.keys()) layers.push((await donor.layer(layer)).slice())
  return { id, scope, tokens, format, layer: async (layer) => layers[layer], close: () => {} }
}

/** The donor with rows of zeros. */
export function zeroedDonor(donor: DonorKv): DonorKv {
  return { ...donor, layer: async (layer, signal) => new Uint8Array((await donor.layer(layer, signal)).byteLength) }
}
