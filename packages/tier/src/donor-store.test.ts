import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { donorStoreSuite } from '@kvasir/core/testing'
import { describe, test } from 'vitest'
import { fileDonors } from './file-donors.ts'
import { hostDonors } from './host-donors.ts'

const newFolder = () => mkdtemp(join(tmpdir(), 'kvasir-donors-'))

describe('hostDonors', () => {
  donorStoreSuite({ describe, test, openStore: async (budgetBytes) => hostDonors({ budgetBytes }) })
})

describe('fileDonors', () => {
  donorStoreSuite({
    describe,
    test,
    openStore: async (budgetBytes) => fileDonors({ folder: await newFolder(), budgetBytes }),
  })
})

describe('fileDonors with a key', () => {
  const key = new Uint8Array(32).fill(7)
  donorStoreSuite({
    describe,
    test,
    openStore: async (budgetBytes) => fileDonors({ folder: await newFolder(), budgetBytes, key }),
  })
})
