import { pageTokens } from '@kvasir/core'
import type { Random } from '@kvasir/core/testing'
import type { Kernels, KvArena, Weight, WeightType } from './kernels.ts'
import type { Batch } from './ops.ts'
import { rowBytes, weightFormats } from './reference/formats/weight-formats.ts'

export const weightTypes = Object.keys(weightFormats) as WeightType[]

/** Where the blocks of a format hold float16 numbers; random bytes there would be infinities. */
const halvesAt: Readonly<Partial<Record<WeightType, readonly number[]>>> = {
  Q8_0: [0],
  Q4_0: [0],
  Q5_0: [0],
  IQ4_NL: [0],
  Q4_1: [0, 2],
  Q5_1: [0, 2],
  Q2_K: [80, 82],
  Q3_K: [108],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
  F16: [0],
}

/** Rows of a weight as a GGUF file would hold them, every bit pattern of codes possible. */
export function randomRows(random: Random, type: WeightType, rows: number, cols: number): Uint8Array {
  const bytes = new Uint8Array(rows * rowBytes(type, cols))
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < bytes.length; at++) bytes[at] = random.integer(256)
  const { blockBytes } = weightFormats[type]
  for (let block = 0; block < bytes.length; block += blockBytes) {
    for (const at of halvesAt[type] ?? []) view.setUint16(block + at, randomHalf(random), true)
    if (type === 'F32') view.setFloat32(block, random.normal(), true)
    if (type === 'BF16') view.setUint16(block, (random.integer(2) << 15) | (0x3c00 + random.integer(0x400)), true)
  }
  return bytes
}

/** Bits of a float16 of magnitude 2^-7 to 2^-2. */
function randomHalf(random: Random): number {
  return (random.integer(2) << 15) | ((8 + random.integer(5)) << 10) | random.integer(1024)
}

export function loadRows(kernels: Kernels, type: WeightType, cols: number, bytes: Uint8Array): Promise<Weight> {
  const stride = rowBytes(type, cols)
  return kernels.loadWeight(type, bytes.length / stride, cols, async (first, count) =>
    bytes.subarray(first * stride, (first + count) * stride),
  )
}

/** `rows` rows of NaN and one more, which nothing may touch. */
export function poisoned(rows: number, rowValues: number): Float32Array {
  return new Float32Array((rows + 1) * rowValues).fill(Number.NaN)
}

/** An arena of random rows, and a batch of sequences whose pages are scattered over it. */
export interface KvCase {
  readonly arena: KvArena
  readonly batch: Batch
  readonly tokens: number
  readonly sequences: number
  readonly contextTokens: readonly number[]
}

export interface KvShapeOfCase {
  readonly numLayers: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly type: 'f16' | 'f32'
  readonly sequences: number
  /** KV rows of each sequence, >= 1. */
  readonly contextOf: () => number
  /** Rows of a sequence of that context. */
  readonly rowsOf: (context: number) => number
}

export async function randomKv(kernels: Kernels, random: Random, shape: KvShapeOfCase): Promise<KvCase> {
  const { numLayers, numKvHeads, headDim, type, sequences } = shape
  const contexts = Array.from({ length: sequences }, shape.contextOf)
  const rows = contexts.map(shape.rowsOf)
  const pageCounts = contexts.map((context) => Math.ceil(context / pageTokens))
  const starts = (counts: readonly number[]) => {
    const sums = [0]
    for (const count of counts) sums.push(sums.at(-1)! + count)
    return Int32Array.from(sums)
  }
  const pageStarts = starts(pageCounts)
  const capacityPages = pageStarts[sequences]! + 3
  const pages = shuffled(random, capacityPages).subarray(0, pageStarts[sequences])
  const arena = kernels.createArena({ numLayers, numKvHeads, headDim, capacityPages, type })

  const slots = contexts.flatMap((context, s) =>
    Array.from({ length: context }, (_, index) => {
      const page = pages[pageStarts[s]! + Math.floor(index / pageTokens)]!
      return page * pageTokens + (index % pageTokens)
    }),
  )
  const rowValues = numKvHeads * headDim
  const writes = Array.from({ length: numLayers }, (_, layer) => ({
    kind: 'writeKv' as const,
    arena,
    layer,
    keys: random.normals(slots.length * rowValues),
    values: random.normals(slots.length * rowValues),
    slots: Int32Array.from(slots),
    rows: slots.length,
  }))
  await runOnce(kernels, writes)
  const rowStarts = starts(rows)
  return {
    arena,
    batch: { rowStarts, contextTokens: Int32Array.from(contexts), pageStarts, pages },
    tokens: rowStarts[sequences]!,
    sequences,
    contextTokens: contexts,
  }
}

/** Ascending indices for the rows of each sequence, anywhere in it. */
export function randomPositions(random: Random, { rowStarts, contextTokens }: Batch): Int32Array {
  const positions = Array.from(contextTokens).flatMap((context, s) => {
    const rows = rowStarts[s + 1]! - rowStarts[s]!
    return [...shuffled(random, context).subarray(0, rows).sort()]
  })
  return Int32Array.from(positions)
}

export async function runOnce(
  kernels: Kernels,
  ops: Parameters<Kernels['createProgram']>[0],
  counts: { tokens?: number; outputs?: number; sequences?: number } = {},
): Promise<void> {
  const program = kernels.createProgram(ops)
  await program.run({ tokens: 0, ...counts })
  program.dispose()
}

function shuffled(random: Random, count: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = random.integer(i + 1)
    const swapped = order[i]!
    order[i] = order[j]!
    order[j] = swapped
  }
  return order
}
