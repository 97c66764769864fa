export { type BenchName, type BenchOptions, benchNames, type PeerName, peerNames, runBench } from './bench.ts'
export { PeerError } from './llama-cpp.ts'
export type { BenchReport, BenchRow, Machine } from './report.ts'
export { hotBytesOf, type TierName, tierNames } from './tiers.ts'
