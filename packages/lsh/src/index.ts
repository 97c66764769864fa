export { type BandMatch, type BandQuery, type BandTable, type BandTableOptions, createBandTable } from './band-table.ts'
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
export { createHasher, type Hasher, type HasherOptions } from './hasher.ts'
export { type NearestTokens, type NearestTokensOptions, nearestTokens } from './nearest-tokens.ts'
export { type MatchRule, type NearestVectorsOptions, nearestVectors } from './nearest-vectors.ts'
export { createVocabulary, type Vocabulary, type VocabularyOptions } from './vocabulary.ts'
