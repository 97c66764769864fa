import { pageTokens, type RunList, runsOfIndices } from '@kvasir/core'
import { type Random, seededRandom } from '@kvasir/core/testing'
import {
  type KvShapeOfCase,
  loadRows,
  poisoned,
  randomKv,
  randomPositions,
  randomRows,
  runOnce,
  weightTypes,
} from './case-data.ts'
import type { KeptRows, Kernels, RunLists } from './kernels.ts'
import type { Op } from './ops.ts'
import { weightFormats } from './reference/formats/weight-formats.ts'
import { arenaRows, fillArena, randomTurns, storedBytes } from './transfer-cases.ts'

/** What one op left behind; every backend must agree with the reference within maxNmse. */
export interface CaseResult {
  readonly outputs: readonly ArrayLike<number>[]
  /** 0: to the bit. */
  readonly maxNmse: number
}

/** Sizes to draw from. */
export interface CaseShapes {
  readonly dims: readonly number[]
  readonly headDims: readonly number[]
}

/** Builds inputs of a shape drawn from the seed, runs the op on them. The same seed and sizes give the same inputs everywhere. */
export type Case = (kernels: Kernels, seed: number, shapes: CaseShapes) => Promise<CaseResult>

const rowCounts = [0, 1, 2, 3, 5, 17, 33] as const

export const anyShapes: CaseShapes = { dims: [1, 2, 7, 16, 31, 64, 65, 200], headDims: [2, 8, 16, 33, 64, 80, 128] }

/** Those that a GPU takes: it reads rows 16 bytes at a time. */
export const gpuShapes: CaseShapes = { dims: [4, 16, 64, 68, 200, 576], headDims: [16, 32, 64, 80, 96, 128] }

/** An op, or what is asked of the Kernels themselves. */
export type CaseKind = Op['kind'] | 'adoptRows' | 'exportRows'

export const cases: { readonly [K in CaseKind]: Case } = {
  embedRows: async (kernels, seed) => {
    const random = seededRandom(seed)
    const type = weightTypes[seed % weightTypes.length]!
    const cols = weightFormats[type].blockValues * (1 + random.integer(3))
    const tableRows = 1 + random.integer(150)
    const table = await loadRows(kernels, type, cols, randomRows(random, type, tableRows, cols))
    const rows = pick(random, rowCounts)
    const ids = Int32Array.from({ length: rows }, () => random.integer(tableRows))
    const out = poisoned(rows, cols)
    await runOnce(kernels, [{ kind: 'embedRows', table, ids, out, rows: 'tokens' }], { tokens: rows })
    return { outputs: [out], maxNmse: 0 }
  },

  rmsNorm: async (kernels, seed, shapes) => {
    const random = seededRandom(seed)
    const [rows, dim, groups] = [pick(random, rowCounts), pick(random, shapes.dims), pick(random, [1, 1, 3])]
    const x = random.normals((rows + 1) * groups * dim, 3)
    const weight = random.normals(dim)
    const out = random.integer(2) ? x : poisoned(rows, groups * dim)
    const eps = pick(random, [1e-5, 1e-6, 0.1])
    await runOnce(kernels, [{ kind: 'rmsNorm', x, weight, eps, groups, dim, out, rows }])
    return { outputs: [out], maxNmse: 1e-10 }
  },

  linear: async (kernels, seed) => {
    const random = seededRandom(seed)
    const type = weightTypes[seed % weightTypes.length]!
    const { blockValues } = weightFormats[type]
    const cols = blockValues * (1 + random.integer(blockValues === 1 ? 300 : blockValues === 32 ? 9 : 3))
    const rows = pick(random, rowCounts)
    const x = random.normals(rows * cols)
    const path = pick(random, ['prefill', 'decode'] as const)
    const mode = pick(random, ['exact', 'fast'] as const)
    const parts = []
    for (let part = 0; part < 1 + random.integer(3); part++) {
      // Rounded activations are compared over many outputs: one alone may cancel to nearly nothing.
      const outFeatures = pick(random, mode === 'exact' ? [1, 3, 16, 48, 63, 65, 130] : [63, 65, 130])
      const weight = await loadRows(kernels, type, cols, randomRows(random, type, outFeatures, cols))
      const accumulate = random.integer(3) === 0
      const out = accumulate ? random.normals((rows + 1) * outFeatures) : poisoned(rows, outFeatures)
      parts.push({ weight, out, accumulate, ...(random.integer(2) ? { bias: random.normals(outFeatures) } : {}) })
    }
    await runOnce(kernels, [{ kind: 'linear', x, parts, rows: 'tokens', path, mode }], { tokens: rows })
    return { outputs: parts.map((part) => part.out), maxNmse: mode === 'exact' ? 1e-10 : 5e-4 }
  },

  rope: async (kernels, seed, shapes) => {
    const random = seededRandom(seed)
    const [rows, headDim, numHeads] = [pick(random, rowCounts), pick(random, shapes.headDims), 1 + random.integer(5)]
    const rotaryDim = 2 * (1 + random.integer(Math.floor(headDim / 2)))
    const x = random.normals((rows + 1) * numHeads * headDim)
    const angles = random.normals((rows * rotaryDim) / 2, 100)
    const op = { x, cos: angles.map(Math.cos), sin: angles.map(Math.sin), numHeads, headDim, rotaryDim, rows }
    await runOnce(kernels, [{ kind: 'rope', pairing: pick(random, ['half', 'interleaved'] as const), ...op }])
    return { outputs: [x], maxNmse: 1e-10 }
  },

  siluGate: async (kernels, seed, shapes) => {
    const random = seededRandom(seed)
    const [rows, dim] = [pick(random, rowCounts), pick(random, shapes.dims)]
    const gate = random.normals((rows + 1) * dim, pick(random, [1, 10, 60]))
    const up = random.normals(rows * dim)
    const out = random.integer(2) ? gate : poisoned(rows, dim)
    await runOnce(kernels, [{ kind: 'siluGate', gate, up, dim, out, rows }])
    return { outputs: [out], maxNmse: 1e-10 }
  },

  gatherRows: async (kernels, seed, shapes) => {
    const random = seededRandom(seed)
    const [rows, dim, sourceRows] = [pick(random, rowCounts), pick(random, shapes.dims), 1 + random.integer(40)]
    const x = random.normals(sourceRows * dim)
    const ids = Int32Array.from({ length: rows }, () => random.integer(sourceRows))
    const out = poisoned(rows, dim)
    await runOnce(kernels, [{ kind: 'gatherRows', x, ids, dim, out, rows: 'outputs' }], { outputs: rows })
    return { outputs: [out], maxNmse: 0 }
  },

  writeKv: async (kernels, seed, shapes) => {
    const random = seededRandom(seed)
    const shape = {
      numLayers: 1 + random.integer(2),
      numKvHeads: 1 + random.integer(3),
      headDim: pick(random, shapes.headDims),
    }
    const type = pick(random, ['f16', 'f32'] as const)
    const capacityPages = 1 + random.integer(4)
    const arena = kernels.createArena({ ...shape, capacityPages, type })
    const rows = pick(random, rowCounts)
    // Magnitudes around float16's limits too: subnormals, overflow, exact halves between two numbers.
    const values = () => random.normals(rows * shape.numKvHeads * shape.headDim, pick(random, [1, 1e-6, 4e4, 1e-4]))
    const slots = Int32Array.from({ length: rows }, () => random.integer(capacityPages * pageTokens))
    const layer = random.integer(shape.numLayers)
    const op = { kind: 'writeKv' as const, arena, layer, keys: values(), values: values(), slots, rows }
    await runOnce(kernels, [op])
    const pages = Int32Array.from({ length: capacityPages }, (_, page) => page)
    const outputs = Array.from({ length: shape.numKvHeads }, (_, head) =>
      (['keys', 'values'] as const).map((part) =>
        arena.readRows(part, layer, head, pages, 0, capacityPages * pageTokens),
      ),
    )
    return { outputs: outputs.flat(), maxNmse: 0 }
  },

  compareKv: async (kernels, seed, shapes) => {
    const random = seededRandom(seed)
    const shape = randomArena(random, shapes)
    const arena = await fillArena(kernels, random, shape)
    const rows = pick(random, [...rowCounts, 300])
    const spread = pick(random, [1, 1, 1e-5, 1e4])
    const [keys, values] = [0, 1].map(() => random.normals(rows * shape.numKvHeads * shape.headDim, spread)) as [
      Float32Array,
      Float32Array,
    ]
    const slots = Int32Array.from({ length: rows }, () => random.integer(shape.capacityPages * pageTokens))
    const out = poisoned(rows, 2)
    const op = {
      kind: 'compareKv' as const,
      arena,
      layer: random.integer(shape.numLayers),
      keys,
      values,
      slots,
      out,
      rows,
    }
    await runOnce(kernels, [op])
    return { outputs: [out, ...arenaRows(arena)], maxNmse: 1e-12 }
  },

  adoptRows: async (kernels, seed, shapes) => {
    const random = seededRandom(seed)
    const shape = randomArena(random, shapes)
    const arena = await fillArena(kernels, random, shape)
    const sourceTokens = 1 + random.integer(pick(random, [1, 20, 300]))
    const values = random.normals(shape.numKvHeads * 2 * sourceTokens * shape.headDim, pick(random, [1, 1e-4, 1e4]))
    const count = random.integer(3) === 0 ? random.integer(600) : random.integer(40)
    const isRun = random.integer(2) === 1
    const rowOf = (bound: number) => (_: unknown, i: number) => (isRun ? i % bound : random.integer(bound))
    const [sourceRows, slots] = [sourceTokens, shape.capacityPages * pageTokens].map((bound) =>
      Int32Array.from({ length: count }, rowOf(bound)),
    ) as [Int32Array, Int32Array]
    const numTurns = 1 + random.integer(3)
    const rotaryDim = 2 * (1 + random.integer(Math.floor(shape.headDim / 2)))
    const rowTurns = Array.from(slots, (_, i) => (isRun ? (i >> 5) % (numTurns + 1) : random.integer(numTurns + 1)) - 1)
    const pairing = pick(random, ['half', 'interleaved'] as const)
    const turns = randomTurns(random, { numTurns, rotaryDim, rowTurns, pairing })
    const source = storedBytes(values, shape.type)
    const fixed = { arena, layer: random.integer(shape.numLayers), source, sourceTokens, sourceRows, slots }
    await kernels.adoptRows(random.integer(3) ? { ...fixed, turns } : fixed)
    return { outputs: arenaRows(arena), maxNmse: 0 }
  },

  exportRows: async (kernels, seed, shapes) => {
    const random = seededRandom(seed)
    const shape = randomArena(random, shapes)
    const arena = await fillArena(kernels, random, shape)
    const pages = Int32Array.from({ length: random.integer(4) }, () => random.integer(shape.capacityPages))
    const numTokens = Math.max(0, pages.length * pageTokens - random.integer(20))
    const rowValues = shape.numKvHeads * 2 * shape.headDim
    const out = storedBytes(new Float32Array(numTokens * rowValues), shape.type)
    await kernels.exportRows({ arena, layer: random.integer(shape.numLayers), pages, numTokens, out })
    return { outputs: [out], maxNmse: 0 }
  },

  attendPrefill: async (kernels, seed, shapes) => {
    const random = seededRandom(seed)
    const shape = randomShape(random, shapes, 40, (context) => random.integer(context + 1))
    const { arena, batch, tokens, sequences } = await randomKv(kernels, random, shape)
    const { layer, numHeads, scale } = randomHeads(random, shape)
    const q = random.normals(tokens * numHeads * shape.headDim)
    const out = poisoned(tokens, numHeads * shape.headDim)
    const windowTokens = pick(random, [0, 0, 1, 7, 16])
    const lse = poisoned(tokens, numHeads)
    const placed = random.integer(2) ? { positions: randomPositions(random, batch) } : {}
    const op = { kind: 'attendPrefill' as const, arena, layer, q, numHeads, scale, windowTokens, batch, ...placed, out }
    await runOnce(kernels, [random.integer(2) ? op : { ...op, lse }], { tokens, sequences })
    return { outputs: [out, lse], maxNmse: 1e-10 }
  },

  attentionMass: async (kernels, seed, shapes) => {
    const random = seededRandom(seed)
    const shape = {
      ...randomShape(random, shapes, pick(random, [40, 40, 300]), (context) =>
        random.integer(Math.min(context, 40) + 1),
      ),
      sequences: random.integer(8) === 0 ? 0 : 1,
    }
    const { arena, batch, tokens, sequences, contextTokens } = await randomKv(kernels, random, shape)
    const { layer, numHeads, scale } = randomHeads(random, shape)
    const q = random.normals(tokens * numHeads * shape.headDim, pick(random, [1, 1, 10]))
    const massStride = (contextTokens[0] ?? 1) + random.integer(3)
    const mass = poisoned(numHeads, massStride)
    if (random.integer(2)) mass.fill(0.5)
    else mass.fill(0, 0, numHeads * massStride)
    const windowTokens = pick(random, [0, 0, 1, 7, 130])
    const placed = random.integer(2) ? { positions: randomPositions(random, batch) } : {}
    const fixed = { arena, layer, q, numHeads, scale, windowTokens, batch, ...placed }
    const sum = { kind: 'attentionMass' as const, ...fixed, mass, massStride }
    const lse = poisoned(tokens, numHeads)
    const attend = { kind: 'attendPrefill' as const, ...fixed, out: new Float32Array(q.length), lse }
    await runOnce(kernels, random.integer(2) ? [sum] : [attend, { ...sum, lse }], { tokens, sequences })
    return { outputs: [mass], maxNmse: 1e-10 }
  },

  attendRuns: async (kernels, seed, shapes) => {
    const random = seededRandom(seed)
    const shape = randomShape(random, shapes, 100, () => 1)
    const { arena, batch, tokens, sequences, contextTokens } = await randomKv(kernels, random, shape)
    const { layer, numHeads, scale } = randomHeads(random, shape)
    const lists = kernels.createRunLists(Math.max(1, sequences), shape.numKvHeads, numHeads)
    setRandomLists(random, lists, contextTokens, numHeads)
    const q = random.normals(sequences * numHeads * shape.headDim, pick(random, [1, 1, 20]))
    const out = poisoned(sequences, numHeads * shape.headDim)
    const lse = poisoned(sequences, numHeads)
    const op = { kind: 'attendRuns' as const, arena, layer, q, numHeads, scale, batch, lists, out, lse }
    await runOnce(kernels, [op], { tokens, sequences })
    return { outputs: [out, lse], maxNmse: 1e-10 }
  },

  selectRuns: async (kernels, seed, shapes) => {
    const random = seededRandom(seed)
    const shape = randomShape(random, shapes, 100, () => 1)
    const { arena, batch, tokens, sequences, contextTokens } = await randomKv(kernels, random, shape)
    const { layer, numHeads, scale } = randomHeads(random, shape)
    const lists = kernels.createRunLists(Math.max(1, sequences), shape.numKvHeads, numHeads)
    setRandomLists(random, lists, contextTokens, numHeads)
    const q = random.normals(sequences * numHeads * shape.headDim)
    const windowTokens = pick(random, [0, 0, 1, 20, 64])
    const op = { kind: 'selectRuns' as const, arena, layer, q, numHeads, scale, windowTokens, batch, lists }
    const kinds = contextTokens.map(() => pick(random, ['all', 'given', 'native'] as const))
    const selectors = kinds.map((kind) => {
      const budgetTokens = 1 + random.integer(100)
      const rule = { budgetTokens, sinkTokens: random.integer(5), recentTokens: 1 + random.integer(20) }
      return kind === 'native' ? kernels.createExactSelector({ ...rule, jointHeads: random.integer(2) === 1 }) : kind
    })
    const kept = contextTokens.map((context) =>
      random.integer(2) ? null : randomKept(kernels, random, shape, context),
    )
    const program = kernels.createProgram([op])
    await program.run({ tokens, sequences, selectors, kept })
    const chosen = contextTokens.map((_, s) => lists.get(s))
    const held = kept.map((rows) => rows?.heldTokens(layer) ?? 0)
    return { outputs: [...chosen.flatMap(({ rowStarts, runs }) => [rowStarts, runs]), held], maxNmse: 0 }
  },
}

function pick<T>(random: Random, values: readonly T[]): T {
  return values[random.integer(values.length)] as T
}

function randomArena(random: Random, shapes: CaseShapes) {
  const [numLayers, numKvHeads] = [1 + random.integer(2), 1 + random.integer(3)]
  const capacityPages = 1 + random.integer(4)
  const type = pick(random, ['f16', 'f16', 'f32'] as const)
  return { numLayers, numKvHeads, headDim: pick(random, shapes.headDims), capacityPages, type }
}

function randomShape(
  random: Random,
  shapes: CaseShapes,
  maxContext: number,
  rowsOf: (context: number) => number,
): KvShapeOfCase {
  return {
    numLayers: 1 + random.integer(2),
    numKvHeads: pick(random, [1, 2, 3]),
    headDim: pick(random, shapes.headDims),
    type: pick(random, ['f16', 'f32'] as const),
    sequences: random.integer(4),
    contextOf: () => 1 + random.integer(maxContext),
    rowsOf,
  }
}

function randomHeads(random: Random, shape: KvShapeOfCase) {
  const numHeads = shape.numKvHeads * pick(random, [1, 2, 3, 4, 7])
  return { numHeads, layer: random.integer(shape.numLayers), scale: pick(random, [1 / Math.sqrt(shape.headDim), 0.3]) }
}

/** A row a KV head, sometimes one a query head. */
function randomList(random: Random, context: number, numKvHeads: number, numHeads: number): RunList {
  const length = random.integer(3) === 0 ? numHeads : numKvHeads
  return runsOfIndices(Array.from({ length }, () => someOf(random, context)))
}

function setRandomLists(random: Random, lists: RunLists, contextTokens: readonly number[], numHeads: number): void {
  for (const [s, context] of contextTokens.entries()) {
    lists.set(s, randomList(random, context, lists.numKvHeads, numHeads))
  }
}

function randomKept(kernels: Kernels, random: Random, shape: KvShapeOfCase, context: number): KeptRows {
  const { numLayers, numKvHeads } = shape
  const kept = kernels.createKeptRows(numLayers, numKvHeads)
  for (let times = random.integer(4); times > 0; times--) {
    const end = random.integer(context + 1)
    kept.set(random.integer(numLayers), randomList(random, end, numKvHeads, numKvHeads), end)
    if (random.integer(4) === 0) kept.truncate(random.integer(context + 1))
  }
  return random.integer(2) ? kept : kept.clone()
}

/** A random subset of [0, count), ascending, sometimes empty, sometimes whole. */
function someOf(random: Random, count: number): number[] {
  const share = pick(random, [0, 0.1, 0.5, 0.9, 1])
  return Array.from({ length: count }, (_, i) => i).filter(() => random.uniform() < share)
}
