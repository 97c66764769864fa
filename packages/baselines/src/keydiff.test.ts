import { keySuite } from './key-suite.ts'
import { keyDiff } from './keydiff.ts'
import { dot } from './test-views.ts'

/** Minus the cosine of each key and the mean of all keys at length 1. */
keySuite(keyDiff, (keys) => {
  const unit = keys.map((key) => key.map((value) => value / Math.hypot(...key)))
  const mean = unit[0].map((_, i) => unit.reduce((sum, key) => sum + key[i], 0) / unit.length)
  return unit.map((key) => -dot(key, mean) / Math.hypot(...mean))
})
