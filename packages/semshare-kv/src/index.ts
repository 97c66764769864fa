export { type AlignOptions, alignRuns, type DonorTokens } from './align/align-runs.ts'
export type { GramHashes } from './align/gram-table.ts'
export type { Dials, Fidelity } from './kvasir/fidelities.ts'
export type { KvasirOptions } from './kvasir/options.ts'
export type { ReuseCounts } from './ledger.ts'
export {
  type DonorLibrary,
  type DonorLibraryOptions,
  type DonorProposer,
  type DonorQuery,
  type DonorShelf,
  donorLibrary,
  type FoundDonors,
  type LibraryCounts,
} from './library/donor-library.ts'
export type { PaperOptions } from './paper/options.ts'
export { type SemShareKv, type SemShareKvOptions, semShareKv } from './semshare-kv.ts'
