import type { EngineProfile, SequenceContext } from './engine-profile.ts'
import type { Decline, PlacePlan, PublishPlan, RetainPlan, ReusePlan, RowSet, Selection } from './plans.ts'
import type {
  LayerReport,
  PrefillView,
  PressureView,
  PromptView,
  ReuseAudit,
  SequenceView,
  StepView,
  TokenView,
} from './views.ts'

/** The moments of a sequence's life at which an engine asks. */
export type Slot = 'reuse' | 'recompute' | 'retain' | 'select' | 'append' | 'place' | 'publish'

/** What a policy may do, declared before it runs. Engines and `compose` read this, never the policy's name or class. */
export interface Effects {
  readonly slots: readonly Slot[]
  /** lossy: answers may differ from the full cache's. */
  readonly fidelity: 'exact' | 'lossy'
  /** step: one selection serves all layers of a step, asked before it runs. layer: asked at each layer, with its queries. */
  readonly selectScope?: 'step' | 'layer'
  /** What it must see of the prompt's attention; needs `observe.attention-mass`. @default nothing */
  readonly observes?: ObservedAttention
  /** select narrows `StepView.chosen`, so it may stand after a selector in a stack. @default false */
  readonly refines?: boolean
  /** select hands over native selectors, which nothing can refine. @default false */
  readonly selectsNatively?: boolean
  /** The setting with which the policy leaves select out, for the remedy of a stack with two selectors. @default there is none */
  readonly withoutSelect?: string
}

/** Attention of a prompt's rows that an engine keeps while it prefills; see PromptAttention. */
export interface ObservedAttention {
  /** Last rows of the prompt whose attention is wanted. @default 0 */
  readonly windowTokens?: number
  /** Attention of all rows, summed. @default false */
  readonly allRows?: boolean
  /** Attention that the rows of a partial prefill pay at each layer, for LayerReport. @default false */
  readonly recomputed?: boolean
}

/** A frozen configuration, shared by many sequences. It decides; it owns no KV and moves none. */
export interface CachePolicy {
  readonly name: string
  readonly effects: Effects
  /** Throws a CapabilityError that names what the engine lacks and what supplies it. */
  bind(engine: EngineProfile): void
  /** All mutable state lives in the session, one a sequence. */
  open(sequence: SequenceContext): PolicySession
}

/** Hooks of the slots that the policy's effects name; the others stay absent. A hook that throws quarantines the session. */
export interface PolicySession extends AsyncDisposable {
  /** Before prefill: which stored KV can be borrowed. */
  reuse?(prompt: PromptView): Promise<ReusePlan | Decline>
  /**
   * During a partial prefill: the rows of the next layer, nested in those of this one; rows that nobody lent stay in.
   * A decline gives the borrowed rows up: the prompt is computed in full.
   */
  recompute?(report: LayerReport): RowSet | Decline
  /** After each prefill chunk: what to keep; indexes are built here. */
  retain?(view: PrefillView): Promise<RetainPlan>
  /** Each decode step (and layer, by `selectScope`): which rows attention may read. */
  select?(step: StepView): Selection
  /** After each decoded token whose KV row stands: extend indexes. */
  append?(token: TokenView): void | Promise<void>
  /** A tier is over budget, or a prefetch is possible. */
  place?(pressure: PressureView): PlacePlan
  /** Once a prompt stands, or at the end: what becomes a donor, under which scope. */
  publish?(done: SequenceView): PublishPlan
  /** How a reuse whose plan asked for an audit compares with the prompt computed in full. */
  audit?(audit: ReuseAudit): void
  /** State for a fork of the sequence at its present length. Absent: the policy cannot be forked. */
  fork?(sequence: SequenceContext): PolicySession
  /** The sequence was cut back to its first numTokens tokens. Absent: the policy cannot be rewound. */
  rewind?(numTokens: number): void
  /** Counters for reports, summed over the session's life. */
  counts?(): PolicyCounts
}

/** A count of tokens is summed over KV heads and layers and steps; bytes are of this moment. */
export interface PolicyCounts {
  readonly steps: number
  /** Rows that attention read exactly. */
  readonly attendedTokens: number
  /** Keys read exactly only to choose among them. */
  readonly pooledTokens: number
  /** Bytes of indexes held beside the KV. */
  readonly indexBytes: number
  /** Rows that must be kept to go on from here. @default all rows */
  readonly heldTokens?: number
  /** Steps that read everything held, by this policy's choice. @default those at which it selected `all` */
  readonly denseSteps?: number
}
