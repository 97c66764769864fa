export type { Capability, EngineProfile, SequenceContext } from './engine-profile.ts'
export {
  CapabilityError,
  ComposeError,
  DisposedError,
  type ErrorDetail,
  KvasirError,
  OptionError,
  PlanError,
  ProvenanceError,
  ScopeError,
  ShapeError,
} from './errors.ts'
export { type KvShape, kvBytesPerToken, type LayerShape } from './kv-shape.ts'
export { checkInteger, checkKeys, checkNumber, checkOneOf } from './options.ts'
export type {
  Decline,
  NativeSelector,
  PlacePlan,
  PublishPlan,
  RetainPlan,
  ReusePlan,
  RowSet,
  Selection,
} from './plans.ts'
export type { CachePolicy, Effects, PolicyCounts, PolicySession, Slot } from './policy.ts'
export type { Loss, Provenance } from './provenance.ts'
export type { RopeScaling, RopeSpec, RopeStamp } from './rope-spec.ts'
export { countRunTokens, indicesOfRow, pageTokens, type RunList, runsOfIndices, runsOfSpans } from './run-list.ts'
export type { Scope } from './scope.ts'
export type { Segment, Span } from './segment.ts'
export type {
  KvReader,
  LayerReport,
  PrefillView,
  PressureView,
  PromptView,
  SequenceView,
  StepView,
  TokenView,
} from './views.ts'
