import { blockSuite } from './block-suite.ts'
import { quest } from './quest.ts'

blockSuite({
  make: quest,
  sizeKey: 'pageTokens',
  numVectors: 2,
  // The upper bound of q.k over the keys of a page.
  score: (query, keys) => query.reduce((sum, value, i) => sum + Math.max(...keys.map((key) => key[i] * value)), 0),
  join: (scores) => scores[0].map((_, page) => Math.max(...scores.map((ofQuery) => ofQuery[page]))),
})
