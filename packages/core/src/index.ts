export { bestIndices } from './best-indices.ts'
export { compose } from './compose.ts'
export { type DonorKv, type DonorStore, formatDifference, type KvFormat, ropeDifference } from './donors.ts'
export { countReadTokens, droppedSpans } from './dropped-spans.ts'
export type { Capability, EngineProfile, SequenceContext } from './engine-profile.ts'
export {
  CapabilityError,
  ComposeError,
  DisposedError,
  type ErrorDetail,
  IntegrityError,
  KvasirError,
  OptionError,
  PlanError,
  ProvenanceError,
  ScopeError,
  ShapeError,
} from './errors.ts'
export { fixedSelection } from './fixed-selection.ts'
export { type GuardedSession, type GuardOptions, openGuarded, type QuarantineEvent } from './guard.ts'
export { type KvShape, kvBytesPerToken, type LayerShape } from './kv-shape.ts'
export { checkFlag, checkInteger, checkKeys, checkNumber, checkOneOf } from './options.ts'
export type {
  BorrowedPiece,
  Decline,
  MovedSpan,
  NativeSelector,
  PlacePlan,
  PublishPlan,
  RetainPlan,
  ReusePlan,
  RowSet,
  Selection,
} from './plans.ts'
export type { CachePolicy, Effects, ObservedAttention, PolicyCounts, PolicySession, Slot } from './policy.ts'
export { exact, isExact, type Loss, type Provenance, withLoss } from './provenance.ts'
export { requireCapabilities } from './require-capabilities.ts'
export type { RopeScaling, RopeSpec, RopeStamp } from './rope-spec.ts'
export {
  countRunTokens,
  indicesOfRow,
  intersectRuns,
  pageTokens,
  type RunList,
  type RunListRules,
  runsOfIndices,
  runsOfSpans,
  runsWithoutSpans,
  spansOfRow,
  validateRunList,
} from './run-list.ts'
export { encodeScope, isPrivateScope, privateScope, type Scope, sameScope, validateScope } from './scope.ts'
export { type ScorerOptions, type ScorerView, scorer } from './scorer.ts'
export type { Segment, Span } from './segment.ts'
export { complementSpans, mergeSpans, rowsOutside, validateSpans } from './spans.ts'
export {
  type RetainRules,
  type RowSetRules,
  type SelectionRules,
  uncoveredRows,
  validatePlacePlan,
  validatePublishPlan,
  validateRetainPlan,
  validateReusePlan,
  validateRowSet,
  validateSelection,
} from './validate-plan.ts'
export { validateKvShape, validateRopeSpec } from './validate-shape.ts'
export type {
  KvReader,
  LayerReport,
  PrefillView,
  PressureView,
  PromptAttention,
  PromptView,
  ReuseAudit,
  SequenceView,
  StepView,
  TokenView,
} from './views.ts'
