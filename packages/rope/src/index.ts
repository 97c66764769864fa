export { attentionFactor, inverseFrequencies } from './frequencies.ts'
export { type RopeTable, ropeTable } from './table.ts'
