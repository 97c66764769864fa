import type { DonorLibrary } from '@kvasir/semshare-kv'

/** A library that lends nothing, for policies where no engine publishes. */
export const noDonors: DonorLibrary = Object.freeze<DonorLibrary>({
  size: 0,
  put: async () => false,
  open: async () => null,
  find: async () => ({ donors: [], refused: [] }),
  remove() {},
  counts: () => ({ donors: 0, tokenBytes: 0, repeated: 0, missing: 0, expired: 0 }),
  dispose() {},
})
