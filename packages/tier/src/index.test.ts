import { expect, test } from 'vitest'
import * as tier from './index.ts'

test('exports these values and no others', () => {
  expect(Object.keys(tier).sort()).toEqual([
    'TierError',
    'TierPlan',
    'fileDonors',
    'fileTier',
    'hostDonors',
    'hostTier',
    'hotBytesFor',
    'isDonorFile',
    'listDonorFiles',
    'openDonorFile',
    'tieredDonors',
    'tieredKv',
  ])
})
