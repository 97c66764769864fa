export { attentionFactor, inverseFrequencies } from './frequencies.ts'
export type { HalfType } from './half-floats.ts'
export { type RepositionOptions, reposition } from './reposition.ts'
export { rotate } from './rotate.ts'
export {
  checkStamps,
  type LayerRopes,
  type MoveOptions,
  moveStamped,
  perLayer,
  type StampOptions,
  stampsOf,
} from './stamps.ts'
export { type RopeTable, type RopeTableOptions, ropeTable } from './table.ts'
export { type Turn, type TurnOptions, type TurnTable, turnTable } from './turns.ts'
