import { checkInteger, checkKeys, checkNumber, checkOneOf, OptionError, pageTokens, ShapeError } from '@kvasir/core'
import { CheckedRunLists } from './checked-run-lists.ts'
import type { KvArena } from './kernels.ts'
import type * as ops from './ops.ts'
import { PackedWeight } from './packed-weight.ts'
import { PageArena } from './page-arena.ts'
import { ProgramNeeds } from './program-needs.ts'
import type { ResourceOwner } from './resource.ts'

const maxValues = 2 ** 31 - 1

/** Throws unless every op is well-formed; returns what runs of them need. */
export function checkOps(owner: ResourceOwner, list: readonly ops.Op[]): ProgramNeeds {
  const needs = new ProgramNeeds(owner)
  list.forEach((op, i) => {
    checkOneOf(`ops[${i}].kind`, op.kind, Object.keys(checks) as ops.Op['kind'][])
    const { fields, check } = checks[op.kind] as OpCheck<ops.Op>
    checkKeys(`ops[${i}]`, op, ['kind', ...fields])
    check(needs, op as never, `ops[${i}]`)
  })
  return needs
}

interface OpCheck<T extends ops.Op> {
  readonly fields: readonly Exclude<keyof T & string, 'kind'>[]
  readonly check: (needs: ProgramNeeds, op: T, name: string) => void
}

const checks: { readonly [K in ops.Op['kind']]: OpCheck<Extract<ops.Op, { kind: K }>> } = {
  embedRows: {
    fields: ['table', 'ids', 'out', 'rows'],
    check: (needs, op, name) => {
      const table = needs.resource(`${name}.table`, op.table, PackedWeight)
      const rows = needs.extent(`${name}.rows`, op.rows)
      needs.index(`${name}.ids`, op.ids, rows, table.rows, 'a row of the table')
      needs.floats(`${name}.out`, op.out, table.cols, rows)
    },
  },
  rmsNorm: {
    fields: ['x', 'weight', 'eps', 'groups', 'dim', 'out', 'rows'],
    check: (needs, op, name) => {
      const rows = needs.extent(`${name}.rows`, op.rows)
      const rowValues = checkInteger(`${name}.dim`, op.dim, 1, maxValues) * checkInteger(`${name}.groups`, op.groups, 1)
      checkNumber(`${name}.eps`, op.eps, 0, 1)
      needs.floats(`${name}.weight`, op.weight, op.dim, 1)
      needs.floats(`${name}.x`, op.x, rowValues, rows)
      needs.floats(`${name}.out`, op.out, rowValues, rows)
    },
  },
  linear: {
    fields: ['x', 'parts', 'rows', 'path', 'mode'],
    check: (needs, op, name) => {
      const rows = needs.extent(`${name}.rows`, op.rows)
      checkOneOf(`${name}.path`, op.path, ['prefill', 'decode'])
      checkOneOf(`${name}.mode`, op.mode, ['exact', 'fast'])
      if (!Array.isArray(op.parts) || op.parts.length === 0) {
        throw new OptionError({ parameter: `${name}.parts`, expected: 'at least one part', got: op.parts })
      }
      const cols = op.parts.map((part, i) => checkLinearPart(needs, part, `${name}.parts[${i}]`, rows))
      if (cols.some((count) => count !== cols[0])) {
        throw new ShapeError({ parameter: `${name}.parts`, expected: `${cols[0]} cols in every weight`, got: cols })
      }
      needs.floats(`${name}.x`, op.x, cols[0] as number, rows)
    },
  },
  rope: {
    fields: ['x', 'cos', 'sin', 'pairing', 'numHeads', 'headDim', 'rotaryDim', 'rows'],
    check: (needs, op, name) => {
      const rows = needs.extent(`${name}.rows`, op.rows)
      checkOneOf(`${name}.pairing`, op.pairing, ['half', 'interleaved'])
      checkInteger(`${name}.numHeads`, op.numHeads, 1, maxValues)
      checkInteger(`${name}.headDim`, op.headDim, 1, maxValues)
      if (op.rotaryDim % 2 !== 0 || !(op.rotaryDim >= 2) || op.rotaryDim > op.headDim) {
        const expected = `an even number in [2, ${op.headDim}]`
        throw new ShapeError({ parameter: `${name}.rotaryDim`, expected, got: op.rotaryDim })
      }
      needs.floats(`${name}.x`, op.x, op.numHeads * op.headDim, rows)
      needs.floats(`${name}.cos`, op.cos, op.rotaryDim / 2, rows)
      needs.floats(`${name}.sin`, op.sin, op.rotaryDim / 2, rows)
    },
  },
  writeKv: {
    fields: ['arena', 'layer', 'keys', 'values', 'slots', 'rows'],
    check: checkRows,
  },
  compareKv: {
    fields: ['arena', 'layer', 'keys', 'values', 'slots', 'out', 'rows'],
    check: (needs, op, name) => {
      checkRows(needs, op, name)
      needs.floats(`${name}.out`, op.out, 2, op.rows)
    },
  },
  attendPrefill: {
    fields: ['arena', 'layer', 'q', 'numHeads', 'scale', 'windowTokens', 'batch', 'positions', 'out', 'lse'],
    check: (needs, op, name) => {
      const rowValues = checkAttention(needs, op, name)
      checkInteger(`${name}.windowTokens`, op.windowTokens, 0, maxValues)
      needs.floats(`${name}.q`, op.q, rowValues, 'tokens')
      needs.floats(`${name}.out`, op.out, rowValues, 'tokens')
      if (op.positions !== undefined) needs.positions(`${name}.positions`, op.positions, op.batch)
      if (op.lse !== undefined) needs.floats(`${name}.lse`, op.lse, op.numHeads, 'tokens')
    },
  },
  attentionMass: {
    fields: [
      'arena',
      'layer',
      'q',
      'numHeads',
      'scale',
      'windowTokens',
      'batch',
      'positions',
      'lse',
      'mass',
      'massStride',
    ],
    check: (needs, op, name) => {
      const rowValues = checkAttention(needs, op, name)
      checkInteger(`${name}.windowTokens`, op.windowTokens, 0, maxValues)
      checkInteger(`${name}.massStride`, op.massStride, 1, maxValues)
      if (op.positions !== undefined) needs.positions(`${name}.positions`, op.positions, op.batch)
      needs.floats(`${name}.q`, op.q, rowValues, 'tokens')
      if (op.lse !== undefined) needs.floats(`${name}.lse`, op.lse, op.numHeads, 'tokens')
      needs.floats(`${name}.mass`, op.mass, op.massStride, op.numHeads)
      needs.masses.push({ parameter: name, batch: op.batch, stride: op.massStride })
    },
  },
  selectRuns: {
    fields: ['arena', 'layer', 'q', 'numHeads', 'scale', 'windowTokens', 'batch', 'lists'],
    check: (needs, op, name) => {
      const rowValues = checkAttention(needs, op, name)
      checkInteger(`${name}.windowTokens`, op.windowTokens, 0, maxValues)
      needs.floats(`${name}.q`, op.q, rowValues, 'sequences')
      checkLists(needs, op, name)
    },
  },
  attendRuns: {
    fields: ['arena', 'layer', 'q', 'numHeads', 'scale', 'batch', 'lists', 'out', 'lse'],
    check: (needs, op, name) => {
      const rowValues = checkAttention(needs, op, name)
      needs.floats(`${name}.q`, op.q, rowValues, 'sequences')
      needs.floats(`${name}.out`, op.out, rowValues, 'sequences')
      if (op.lse !== undefined) needs.floats(`${name}.lse`, op.lse, op.numHeads, 'sequences')
      checkLists(needs, op, name)
    },
  },
  siluGate: {
    fields: ['gate', 'up', 'dim', 'out', 'rows'],
    check: (needs, op, name) => {
      const rows = needs.extent(`${name}.rows`, op.rows)
      checkInteger(`${name}.dim`, op.dim, 1, maxValues)
      needs.floats(`${name}.gate`, op.gate, op.dim, rows)
      needs.floats(`${name}.up`, op.up, op.dim, rows)
      needs.floats(`${name}.out`, op.out, op.dim, rows)
    },
  },
  gatherRows: {
    fields: ['x', 'ids', 'dim', 'out', 'rows'],
    check: (needs, op, name) => {
      const rows = needs.extent(`${name}.rows`, op.rows)
      checkInteger(`${name}.dim`, op.dim, 1, maxValues)
      needs.floats(`${name}.x`, op.x, op.dim, 0)
      needs.index(`${name}.ids`, op.ids, rows, Math.floor(op.x.length / op.dim), 'a row of x')
      needs.floats(`${name}.out`, op.out, op.dim, rows)
    },
  },
}

/** Returns the cols of the weight. */
function checkLinearPart(needs: ProgramNeeds, part: ops.LinearPart, name: string, rows: ops.Extent): number {
  checkKeys(name, part, ['weight', 'bias', 'out', 'accumulate'])
  const weight = needs.resource(`${name}.weight`, part.weight, PackedWeight)
  if (part.bias !== undefined) needs.floats(`${name}.bias`, part.bias, weight.rows, 1)
  needs.floats(`${name}.out`, part.out, weight.rows, rows)
  return weight.cols
}

function checkArenaLayer(needs: ProgramNeeds, op: { arena: KvArena; layer: number }, name: string): PageArena {
  const arena = needs.resource(`${name}.arena`, op.arena, PageArena)
  checkInteger(`${name}.layer`, op.layer, 0, arena.numLayers - 1)
  return arena
}

/** K and V rows, and the slots they are meant for. */
function checkRows(needs: ProgramNeeds, op: ops.WriteKvOp | ops.CompareKvOp, name: string): void {
  const arena = checkArenaLayer(needs, op, name)
  const rows = needs.extent(`${name}.rows`, op.rows)
  const rowValues = arena.numKvHeads * arena.headDim
  needs.floats(`${name}.keys`, op.keys, rowValues, rows)
  needs.floats(`${name}.values`, op.values, rowValues, rows)
  needs.index(`${name}.slots`, op.slots, rows, arena.capacityPages * pageTokens, 'a slot of the arena')
}

/** Returns the values of a row of q. */
function checkAttention(
  needs: ProgramNeeds,
  op: { arena: KvArena; layer: number; numHeads: number; scale: number; batch: ops.Batch },
  name: string,
): number {
  const arena = checkArenaLayer(needs, op, name)
  checkInteger(`${name}.numHeads`, op.numHeads, 1, maxValues)
  if (op.numHeads % arena.numKvHeads !== 0) {
    const expected = `a multiple of ${arena.numKvHeads} KV heads`
    throw new ShapeError({ parameter: `${name}.numHeads`, expected, got: op.numHeads })
  }
  checkNumber(`${name}.scale`, op.scale, -Number.MAX_VALUE, Number.MAX_VALUE)
  needs.batch(`${name}.batch`, op.batch, arena)
  return op.numHeads * arena.headDim
}

function checkLists(
  needs: ProgramNeeds,
  op: { arena: KvArena; numHeads: number; lists: ops.AttendRunsOp['lists'] },
  name: string,
): void {
  const lists = needs.resource(`${name}.lists`, op.lists, CheckedRunLists)
  needs.lists.add(lists)
  const { numKvHeads } = op.arena
  if (lists.numKvHeads !== numKvHeads) {
    const expected = `lists of ${numKvHeads} KV heads`
    throw new ShapeError({ parameter: `${name}.lists`, expected, got: lists.numKvHeads })
  }
  if (lists.numHeads === numKvHeads || lists.numHeads === op.numHeads) return
  throw new ShapeError({ parameter: `${name}.lists`, expected: `lists of ${op.numHeads} heads`, got: lists.numHeads })
}
