import type {
  EngineProfile,
  PolicyCounts,
  PolicySession,
  PrefillView,
  RetainPlan,
  Selection,
  SequenceContext,
  TokenView,
} from '@kvasir/core'
import type { CountingSelector } from '@kvasir/kernels'
import { SemanticIndex } from '@kvasir/semantic'
import { keepLists, keptRows } from './kept-rows.ts'
import type { ResolvedKvasir } from './options.ts'
import { SentenceBounds } from './sentence-bounds.ts'

/** What stayed when a prompt ended. */
interface Kept {
  /** [layer][kvHead]: ascending rows below promptEnd. */
  readonly rows: readonly (readonly Int32Array[])[]
  readonly promptEnd: number
}

/** One sequence: its sentence bounds and its index. Closed sentences are indexed, the open one is always visible. */
export class KvasirSession implements PolicySession {
  readonly #options: ResolvedKvasir
  readonly #profile: EngineProfile
  readonly #bounds: SentenceBounds
  readonly #index: SemanticIndex
  readonly #selector: CountingSelector
  readonly #selection: Selection
  /** null while all rows stand. */
  #kept: Kept | null = null

  private constructor(
    profile: EngineProfile,
    options: ResolvedKvasir,
    bounds: SentenceBounds,
    index: SemanticIndex,
    continues?: CountingSelector,
  ) {
    this.#options = options
    this.#profile = profile
    this.#bounds = bounds
    this.#index = index
    this.#selector = index.selector(profile, options.rule, continues)
    this.#selection = { kind: 'native', selector: this.#selector }
  }

  static open(profile: EngineProfile, options: ResolvedKvasir): KvasirSession {
    const { minSegmentTokens, maxSegmentTokens, pieceTokens, codeBits, vectorBits, basis } = options
    const bounds = SentenceBounds.open(minSegmentTokens, maxSegmentTokens, pieceTokens)
    return new KvasirSession(profile, options, bounds, SemanticIndex.open(profile, { codeBits, vectorBits, basis }))
  }

  async retain(view: PrefillView): Promise<RetainPlan> {
    const ends = view.pieces.flatMap((piece) => this.#bounds.push(piece))
    await this.#index.extend(view.kv, ends)
    const { keptTokens, rule } = this.#options
    if (keptTokens === null || !view.last || keptTokens >= view.kv.numTokens) return {}
    const standing = this.#kept && standingRows(this.#kept, view.kv.numTokens)
    const rows = await keptRows(view, this.#profile.shape.layers, standing, { ...rule, keptTokens })
    this.#kept = { rows, promptEnd: view.kv.numTokens }
    return { keep: keepLists(rows) }
  }

  async append({ piece, kv }: TokenView): Promise<void> {
    await this.#index.extend(kv, this.#bounds.push(piece))
  }

  select(): Selection {
    return this.#selection
  }

  fork({ profile }: SequenceContext): KvasirSession {
    const [bounds, index] = [this.#bounds.clone(), this.#index.clone()]
    const copy = new KvasirSession(profile, this.#options, bounds, index, this.#selector)
    copy.#kept = this.#kept
    return copy
  }

  rewind(numTokens: number): void {
    this.#bounds.truncate(numTokens)
    this.#index.truncate(this.#bounds.closedTokens)
    if (this.#kept === null || numTokens >= this.#kept.promptEnd) return
    const rows = this.#kept.rows.map((heads) => heads.map((head) => head.filter((row) => row < numTokens)))
    this.#kept = { rows, promptEnd: numTokens }
  }

  counts(): PolicyCounts {
    const { layers } = this.#profile.shape
    const { calls, attendedTokens, pooledTokens } = this.#selector.counts()
    const counts = { steps: calls / layers.length, attendedTokens, pooledTokens, indexBytes: this.#index.bytes }
    if (this.#kept === null) return counts
    const since = this.#bounds.numTokens - this.#kept.promptEnd
    const heldTokens = this.#kept.rows.flat().reduce((sum, rows) => sum + rows.length + since, 0)
    return { ...counts, heldTokens }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#index.dispose()
  }
}

/** What stayed, and all rows that came since. */
function standingRows({ rows, promptEnd }: Kept, numTokens: number): Int32Array[][] {
  const since = Array.from({ length: numTokens - promptEnd }, (_, at) => promptEnd + at)
  return rows.map((heads) => heads.map((head) => Int32Array.from([...head, ...since])))
}
