import type { KvFormat } from './donors.ts'
import type { KvShape } from './kv-shape.ts'
import type { Scope } from './scope.ts'

/**
 * What an engine can do, as dotted names. `select.runs`: reads run lists a KV head; `select.native:KIND`: runs that
 * native selector inside a step; `observe.query`: queries in StepView; `observe.keys`: KvReader; `retain.evict`: frees
 * rows; `retain.per-head`: keeps other rows for each KV head; `select.per-query-head`: run lists with a row a query head;
 * `select.moved`: reads rows as if they stood elsewhere; `observe.attention-mass`: PromptAttention;
 * `observe.attention-weights`: StepView.weights; `observe.embeddings`: PromptView.embeddings; `prefill.partial-rows`:
 * computes only some rows of a prompt, over borrowed ones; `kv.adopt`: takes borrowed rows; `kv.export`: publishes rows;
 * `kv.fork`, `kv.rewind`.
 */
export type Capability = string

export interface EngineProfile {
  readonly name: string
  readonly shape: KvShape
  readonly capabilities: ReadonlySet<Capability>
  /** Largest number of tokens a sequence may hold. */
  readonly contextTokens: number
  /** How the engine stores KV; with `kv.adopt` or `kv.export`. */
  readonly format?: KvFormat
  /** The kernels that the engine runs on, for policies that build native indexes; see `kernelsOf` of @kvasir/kernels. */
  readonly kernels?: object
}

/** What a policy learns when a sequence is opened. */
export interface SequenceContext {
  readonly id: string
  readonly profile: EngineProfile
  readonly scope: Scope
}
