import type { DonorStore, EngineProfile } from '@kvasir/core'
import type { Kernels, KvArena, Program, RunLists, Weight } from '@kvasir/kernels'
import type { LlamaConfig } from './config.ts'
import type { RowWriter } from './moved-rows.ts'
import type { Observer } from './observer.ts'
import type { PagePool } from './page-pool.ts'
import type { PartialPrograms } from './partial-programs.ts'
import type { PrefixCache } from './prefix-cache.ts'
import type { Workspace } from './workspace.ts'

/** The compiled graph. */
export interface Programs {
  readonly prefill: Program
  readonly decode: Program
  readonly head: Program
  /** The decode step cut at each layer's attention; compiled when a policy first needs it. */
  readonly cuts: () => readonly Program[]
  /** Programs that watch the attention of prompts; compiled when a policy first asks. */
  readonly observer: () => Observer
  /** Writes rows that were changed outside the kernels; compiled when a policy first moves rows. */
  readonly rowWriter: () => RowWriter
  /** Layers of partial prefills; compiled when a prompt first borrows rows. */
  readonly partial: () => PartialPrograms
  readonly dispose: () => void
}

/** What prefill and decode work with; one a loaded model. */
export interface EngineParts {
  readonly config: LlamaConfig
  readonly profile: EngineProfile
  readonly kernels: Kernels
  readonly arena: KvArena
  /** Token embeddings, a row a token. */
  readonly embedding: Weight
  /** Where rows are published and borrowed; null where neither is possible. */
  readonly donors: DonorStore | null
  readonly lists: RunLists
  readonly pool: PagePool
  readonly prefixCache: PrefixCache
  readonly workspace: Workspace
  readonly programs: Programs
  readonly chunkTokens: number
  /** Largest number of tokens a sequence may hold. */
  readonly contextTokens: number
}
