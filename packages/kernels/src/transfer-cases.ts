import { pageTokens } from '@kvasir/core'
import type { Random } from '@kvasir/core/testing'
import { runOnce } from './case-data.ts'
import type { Kernels, KeyTurns, KvArena, KvArenaOptions } from './kernels.ts'
import { floatToHalf, halfToFloat, roundToHalf } from './reference/float16.ts'

export const ascending = (count: number, first = 0) => Int32Array.from({ length: count }, (_, i) => first + i)

/** Halves of a layer as numbers, [numKvHeads][keys, values][tokens][headDim]. */
export function numbersOf(bytes: Uint8Array): Float32Array {
  return Float32Array.from(new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2), halfToFloat)
}

/** Values as they stand in an arena of that type. */
export function storedBytes(values: Float32Array, type: KvArena['type']): Uint8Array {
  if (type === 'f32') return new Uint8Array(values.slice().buffer)
  return new Uint8Array(Uint16Array.from(values, (value) => floatToHalf(roundToHalf(value))).buffer)
}

export interface TurnsOfCase {
  readonly numTurns: number
  readonly rotaryDim: number
  readonly rowTurns: readonly number[]
  readonly pairing?: KeyTurns['pairing']
}

/** Turns by random angles. */
export function randomTurns(
  random: Random,
  { numTurns, rotaryDim, rowTurns, pairing = 'half' }: TurnsOfCase,
): KeyTurns {
  const angles = random.normals((numTurns * rotaryDim) / 2, 100)
  const [cos, sin] = [angles.map(Math.cos), angles.map(Math.sin)]
  return { cos, sin, pairing, rotaryDim, rowTurns: Int32Array.from(rowTurns) }
}

/** Writes every row of every layer, so that what nothing should touch is known. */
export async function fillArena(kernels: Kernels, random: Random, options: KvArenaOptions): Promise<KvArena> {
  const arena = kernels.createArena(options)
  const rows = arena.capacityPages * pageTokens
  const slots = Int32Array.from({ length: rows }, (_, slot) => slot)
  const values = () => random.normals(rows * arena.numKvHeads * arena.headDim)
  await runOnce(
    kernels,
    Array.from({ length: arena.numLayers }, (_, layer) => {
      return { kind: 'writeKv' as const, arena, layer, keys: values(), values: values(), slots, rows }
    }),
  )
  return arena
}

/** All rows of an arena, [layer][kvHead][keys, values] arrays of [slots][headDim]. */
export function arenaRows(arena: KvArena): Float32Array[] {
  const pages = Int32Array.from({ length: arena.capacityPages }, (_, page) => page)
  const rows: Float32Array[] = []
  for (let layer = 0; layer < arena.numLayers; layer++) {
    for (let head = 0; head < arena.numKvHeads; head++) {
      for (const part of ['keys', 'values'] as const) {
        rows.push(arena.readRows(part, layer, head, pages, 0, pages.length * pageTokens))
      }
    }
  }
  return rows
}
