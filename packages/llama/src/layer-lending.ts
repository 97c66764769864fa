import type { EngineParts } from './engine-parts.ts'
import {
  adoptFetched,
  type FetchedRows,
  fetchLayer,
  LendingFailure,
  type LentRows,
  lendingFailureOf,
} from './lent-rows.ts'

/** A prompt that borrows. */
export interface Borrower {
  readonly lent: LentRows
  /** Whether its rows are still wanted. */
  wanted(): boolean
  /** Its rows cannot be had. */
  fail(failure: LendingFailure): void
}

interface Fetched {
  readonly borrower: Borrower
  readonly rows: readonly FetchedRows[] | LendingFailure
}

/**
 * Brings the borrowed rows of several prompts, layer after layer, ahead of the layers that are computed: while one is read,
 * those of the layer before are on their way into the arena. The bytes of two layers are held at most.
 */
export class LayerLending {
  readonly #parts: EngineParts
  readonly #borrowers: readonly Borrower[]
  readonly #signal: AbortSignal | undefined
  /** Rows of each layer that was begun, on their way into the arena. */
  readonly #adopted: Promise<unknown>[] = []
  /** The layer after those. */
  #fetched: Promise<Fetched[]> | null = null

  constructor(parts: EngineParts, borrowers: readonly Borrower[], signal?: AbortSignal) {
    this.#parts = parts
    this.#borrowers = borrowers
    this.#signal = signal
  }

  /** Resolves once the rows of layers 0 to `layer` are queued: runs from then on read them. Those of the next are being read. */
  async begin(layer: number): Promise<void> {
    const end = Math.min(layer + 1, this.#parts.config.numLayers)
    while (this.#adopted.length < end) {
      const fetched = await (this.#fetched ?? this.#fetch(this.#adopted.length))
      this.#adopted.push(this.#adopt(this.#adopted.length, fetched))
      this.#fetched = this.#adopted.length < this.#parts.config.numLayers ? this.#fetch(this.#adopted.length) : null
      this.#fetched?.catch(() => {})
    }
  }

  /** Resolves once every layer that was begun stands; rejects where one does not. */
  async arrived(): Promise<void> {
    await Promise.all(this.#adopted)
  }

  /** Waits until no donor is read and nothing is on its way, well or not. */
  async settle(): Promise<void> {
    await Promise.allSettled([...this.#adopted, this.#fetched])
  }

  async #fetch(layer: number): Promise<Fetched[]> {
    await this.#adopted[layer - 2]
    const fetched: Fetched[] = []
    for (const borrower of this.#borrowers) {
      if (!borrower.wanted()) continue
      fetched.push({ borrower, rows: await fetchOrFail(borrower.lent, layer, this.#signal) })
    }
    return fetched
  }

  #adopt(layer: number, fetched: readonly Fetched[]): Promise<unknown> {
    const started = fetched.flatMap(({ borrower, rows }) => {
      if (!borrower.wanted()) return []
      if (!(rows instanceof LendingFailure)) return adoptFetched(this.#parts, rows, layer, this.#signal)
      borrower.fail(rows)
      return []
    })
    const all = settleAll(started)
    all.catch(() => {})
    return all
  }
}

/** Unlike Promise.all it waits for all of them before it rejects. */
async function settleAll(started: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(started)
  await Promise.all(started)
}

async function fetchOrFail(
  lent: LentRows,
  layer: number,
  signal: AbortSignal | undefined,
): Promise<FetchedRows[] | LendingFailure> {
  try {
    return await fetchLayer(lent, layer, signal)
  } catch (error) {
    return lendingFailureOf(error, 'a donor', signal)
  }
}
