import { expect, test } from 'vitest'
import * as rope from './index.ts'

test('exports these values and no others', () => {
  expect(Object.keys(rope).sort()).toEqual([
    'attentionFactor',
    'checkStamps',
    'inverseFrequencies',
    'moveStamped',
    'perLayer',
    'reposition',
    'ropeTable',
    'rotate',
    'stampsOf',
    'turnTable',
  ])
})
