import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { modelPath, modelSha256, modelSizeBytes } from './index.js'

test('the file is the one that the package names', () => {
  const bytes = readFileSync(modelPath)
  expect(bytes.length).toBe(modelSizeBytes)
  expect(createHash('sha256').update(bytes).digest('hex')).toBe(modelSha256)
})
