import { keySuite } from './key-suite.ts'
import { keyNorm } from './knorm.ts'

/** Minus the length of each key. */
keySuite(keyNorm, (keys) => keys.map((key) => -Math.hypot(...key)))
