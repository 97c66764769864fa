export { availableBackends, type Backend, type LoadOptions, loadKernels } from './backends.ts'
export { BackendError, KernelError, TierError } from './errors.ts'
export type {
  CodeTable,
  CodeTableOptions,
  HashPlanes,
  HashPlanesOptions,
  NearestCodes,
  NearestOptions,
  RankedRows,
  RankOptions,
} from './hashing.ts'
export { type EstimateRule, estimateNames, resolveEstimates } from './kernel-selector.ts'
export type {
  AdoptOptions,
  ExportOptions,
  GpuCounts,
  KeptRows,
  Kernels,
  KeyTurns,
  KvArena,
  KvArenaOptions,
  Program,
  ProgramOptions,
  RunLists,
  RunOptions,
  Weight,
  WeightType,
} from './kernels.ts'
export type {
  AttendPrefillOp,
  AttendRunsOp,
  AttentionMassOp,
  Batch,
  CompareKvOp,
  EmbedRowsOp,
  Extent,
  GatherRowsOp,
  LinearOp,
  LinearPart,
  Op,
  RmsNormOp,
  RopeOp,
  SelectRunsOp,
  SiluGateOp,
  WriteKvOp,
} from './ops.ts'
export { kernelsOf, nativeKvOf } from './profile.ts'
export { rowBytes } from './reference/formats/weight-formats.ts'
export { slotBytes } from './reference/slot-cache.ts'
export { type ListedRun, TierPlan, type TierPlanShape } from './reference/tier-plan.ts'
export type {
  BudgetOptions,
  CodeBits,
  EstimateOptions,
  ExactSelectorOptions,
  SegmentBasis,
  SegmentIndex,
  SegmentIndexContents,
  SegmentIndexOptions,
  SegmentSelectorOptions,
  SequenceKv,
  VectorBits,
} from './selection.ts'
export type { CountingSelector, SelectorCounts } from './selector-counts.ts'
export {
  type FileTier,
  type HostTier,
  type LowerTier,
  type ResolvedTierOptions,
  resolveLowerTier,
  resolveTier,
  type TierCounts,
  type TierNote,
  type TierOptions,
} from './tier-options.ts'
