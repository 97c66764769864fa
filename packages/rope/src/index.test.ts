import { expect, test } from 'vitest'
import * as rope from './index.ts'

test('exports these values and no others', () => {
  expect(Object.keys(rope).sort()).toEqual([
    'attentionFactor',
    'inverseFrequencies',
    'reposition',
    'ropeTable',
    'rotate',
    'turnTable',
  ])
})
