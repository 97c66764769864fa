export { attentionFactor, inverseFrequencies } from './frequencies.ts'
export { type RepositionOptions, reposition } from './reposition.ts'
export { rotate } from './rotate.ts'
export { type RopeTable, type RopeTableOptions, ropeTable } from './table.ts'
