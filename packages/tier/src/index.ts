export {
  type FileTier,
  type HostTier,
  type ListedRun,
  type LowerTier,
  type ResolvedTierOptions,
  type TierCounts,
  TierError,
  type TierNote,
  type TierOptions,
  TierPlan,
  type TierPlanShape,
} from '@kvasir/kernels'
export { type DonorFileOptions, isDonorFile, listDonorFiles, openDonorFile } from './donor-file.ts'
export { type FileDonorsOptions, fileDonors } from './file-donors.ts'
export { type HostDonorsOptions, hostDonors } from './host-donors.ts'
export { type HotRowsShape, hotBytesFor } from './hot-bytes.ts'
export type { DonorCounts, DonorEntry, KvDonors } from './kv-donors.ts'
export type { DonorReader } from './read-donor-file.ts'
export type { ListedDonorFile } from './scan-folder.ts'
export { tieredDonors } from './tiered-donors.ts'
export { fileTier, hostTier, tieredKv } from './tiered-kv.ts'
