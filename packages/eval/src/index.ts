export { type BootstrapOptions, meanInterval95 } from './bootstrap.ts'
export type { CaseResult } from './case-run.ts'
export type { Activations } from './case-runner.ts'
export { type ArmComparison, compareArms } from './comparisons.ts'
export {
  type CaseFilter,
  type CaseList,
  type EvalCase,
  type Mode,
  modes,
  type Question,
  type QuestionCase,
  type ScoreRule,
  type SuiteName,
  type WindowCase,
} from './eval-case.ts'
export { type EvalProgress, type EvaluateOptions, evaluate } from './evaluate.ts'
export { type EvalTier, kvTierOf } from './lower-tier.ts'
export { type MarkdownRun, markdownTables } from './markdown-tables.ts'
export { type MemoryFields, memoryOf } from './memory-fields.ts'
export {
  argMax,
  type Comparison,
  compareLogits,
  type Distribution,
  distributionOf,
  mean,
  median,
  quantile,
} from './metrics.ts'
export { holmAdjusted, type PairedDifference, pairedDifference, signFlipP } from './paired.ts'
export { CaseDonors } from './pairs/case-donors.ts'
export { llamaPairs } from './pairs/llama-pairs.ts'
export {
  type PairCase,
  type PairKind,
  type PairPrompt,
  pairCase,
  pairKinds,
  type SwappedFact,
  summarize,
} from './pairs/pair-case.ts'
export { readPair } from './pairs/pair-run.ts'
export { type PolicyName, type PolicyResources, policyNames } from './policies.ts'
export { type Arm, makePolicy, type PolicySpec, parsePolicySpec, planArms } from './policy-spec.ts'
export { type LayerRecall, layerRecall, type RecallFields, RecallMeter } from './recall.ts'
export { type CaseKey, openResults, type ResultsFile, type RunIdentity } from './results-file.ts'
export { rougeL, scoreReply, tokenF1 } from './scoring.ts'
export { listCases, suiteNames } from './suites.ts'
export { type Estimate, type SummaryCell, type SummaryRow, summarise, summaryJson } from './summary.ts'
export { summaryTable, type TableOptions, type TextTable } from './tables.ts'
export { WorkerError } from './worker-pool.ts'
