import type { AdoptOptions, ExportOptions, KeyTurns } from '../kernels.ts'
import { floatToHalf, halfToFloat } from './float16.ts'
import { inSlices } from './in-slices.ts'
import type { PlainArena } from './plain-arena.ts'

const parts = ['keys', 'values'] as const

export function adoptRows(arena: PlainArena, options: AdoptOptions): Promise<void> {
  const { layer, source, sourceTokens, sourceRows, slots, turns, signal } = options
  const { numKvHeads, headDim } = arena
  const rows = layerOf(arena, source)
  if (slots.length > 0) arena.plan?.write(layer, slots)
  return inSlices(slots.length, signal, (i) => {
    for (let head = 0; head < numKvHeads; head++) {
      parts.forEach((part, p) => {
        const at = ((head * 2 + p) * sourceTokens + (sourceRows[i] as number)) * headDim
        const row = Float32Array.from({ length: headDim }, (_, c) => rows.get(at + c))
        if (part === 'keys' && turns !== undefined) turnRow(row, turns, turns.rowTurns[i] as number)
        arena.writeRow(part, layer, head, slots[i] as number, row, 0)
      })
    }
  })
}

export function exportRows(arena: PlainArena, options: ExportOptions): Promise<void> {
  const { layer, pages, numTokens, out, signal } = options
  const { numKvHeads, headDim } = arena
  const rows = layerOf(arena, out)
  return inSlices(numTokens, signal, (index) => {
    for (let head = 0; head < numKvHeads; head++) {
      parts.forEach((part, p) => {
        const at = ((head * 2 + p) * numTokens + index) * headDim
        arena.row(part, layer, head, pages, index).forEach((value, c) => {
          rows.set(at + c, value)
        })
      })
    }
  })
}

/** Values of a layer by number, in the arena's type. */
function layerOf(arena: PlainArena, bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (arena.type === 'f32') {
    return {
      get: (i: number) => view.getFloat32(4 * i, true),
      set: (i: number, value: number) => view.setFloat32(4 * i, value, true),
    }
  }
  return {
    get: (i: number) => halfToFloat(view.getUint16(2 * i, true)),
    set: (i: number, value: number) => view.setUint16(2 * i, floatToHalf(value), true),
  }
}

/** (a, b) becomes (a cos - b sin, b cos + a sin), each operation rounded to float32 (Su et al. 2021). */
function turnRow(row: Float32Array, { cos, sin, pairing, rotaryDim }: KeyTurns, turn: number): void {
  if (turn < 0) return
  const numPairs = rotaryDim / 2
  for (let i = 0; i < numPairs; i++) {
    const [first, second] = pairing === 'half' ? [i, i + numPairs] : [2 * i, 2 * i + 1]
    const [a, b] = [row[first] as number, row[second] as number]
    const [c, s] = [cos[turn * numPairs + i] as number, sin[turn * numPairs + i] as number]
    row[first] = Math.fround(a * c) - Math.fround(b * s)
    row[second] = Math.fround(b * c) + Math.fround(a * s)
  }
}
