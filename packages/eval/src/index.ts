export { type BookWindow, type BookWindowList, readBookWindows } from './book-windows.ts'
export { type BootstrapOptions, meanInterval95 } from './bootstrap.ts'
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
export { type PolicyName, policyNames } from './policies.ts'
export { type Arm, makePolicy, type PolicySpec, parsePolicySpec, planArms } from './policy-spec.ts'
export { type CaseKey, openResults, type ResultsFile, type RunIdentity } from './results-file.ts'
export { type Estimate, type SummaryRow, summarise, summaryJson } from './summary.ts'
export {
  runWindows,
  type WindowResult,
  type WindowsProgress,
  type WindowsRun,
  windowsModelOptions,
} from './windows-suite.ts'
