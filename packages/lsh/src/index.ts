export { deriveKey, type KeyUse } from './derive-key.ts'
export {
  createDonorIndex,
  type DonorIndex,
  type DonorIndexCounts,
  type DonorIndexOptions,
  type DonorQuery,
  type IndexedDonor,
} from './donor-index.ts'
export type { DonorCandidate } from './donor-shard.ts'
