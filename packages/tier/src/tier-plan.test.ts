import { type ListedRun, TierPlan } from '@kvasir/kernels'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hotBytesFor } from './hot-bytes.ts'
import { hostTier, tieredKv } from './tiered-kv.ts'

const shape = { numLayers: 1, numKvHeads: 2, headDim: 8 }
const pages = 6

type Step =
  | { readonly kind: 'write'; readonly slots: readonly number[] }
  | { readonly kind: 'read'; readonly rows: Rows }
/** Physical rows of each KV head. */
type Rows = readonly (readonly number[])[]

const slots = fc.uniqueArray(fc.integer({ min: 0, max: 16 * pages - 1 }), { maxLength: 20 })
const heads = fc.array(slots, { minLength: shape.numKvHeads, maxLength: shape.numKvHeads })
const life: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    slots.map((written) => ({ kind: 'write' as const, slots: written })),
    heads.map((rows) => ({ kind: 'read' as const, rows })),
  ),
  { maxLength: 25 },
)
const unit = fc.constantFrom('row' as const, 'block' as const)
const size = fc.integer({ min: 1, max: 40 })

test('a plan never holds more than its bytes', () => {
  fc.assert(
    fc.property(unit, size, life, (ofSlot, unitsPerHead, steps) => {
      const plan = planOf(ofSlot, unitsPerHead)
      for (const step of steps) {
        take(plan, step)
        expect(plan.hotUnits(0).length).toBeLessThanOrEqual(unitsPerHead * shape.numKvHeads)
      }
    }),
  )
})

test('what a step asks for is hot when it has been asked, unless there is more of it than slots', () => {
  fc.assert(
    fc.property(unit, size, life, heads, (ofSlot, unitsPerHead, steps, rows) => {
      const plan = planOf(ofSlot, unitsPerHead)
      for (const step of steps) take(plan, step)
      const { overflows } = plan.counts()
      plan.read(0, [runsOf(rows)])
      if (plan.counts().overflows > overflows) return
      const hot = new Set(plan.hotUnits(0).map(String))
      for (const wanted of unitsOf(ofSlot, rows)) expect(hot).toContain(wanted)
    }),
  )
})

test('the set difference alone moves', () => {
  fc.assert(
    fc.property(size, life, heads, (unitsPerHead, steps, rows) => {
      const plan = planOf('row', unitsPerHead)
      plan.write(0, Array(16 * pages).keys())
      for (const step of steps) take(plan, step)
      const before = plan.counts()
      const hot = new Set(plan.hotUnits(0).map(String))
      const absent = unitsOf('row', rows).filter((wanted) => !hot.has(wanted))
      plan.read(0, [runsOf(rows)])
      const after = plan.counts()
      if (after.overflows > before.overflows) return
      expect(after.movedRows - before.movedRows).toBe(absent.length)
      plan.read(0, [runsOf(rows)])
      expect(plan.counts().movedRows).toBe(after.movedRows)
    }),
  )
})

test('a step that asks for more than the slots leaves them as they are', () => {
  const plan = planOf('row', 4)
  plan.write(0, Array(16 * pages).keys())
  plan.read(0, [runsOf([[1, 2], [3]])])
  const hot = plan.hotUnits(0)
  plan.read(0, [runsOf([[...Array(60).keys()], []])])
  expect(plan.hotUnits(0)).toEqual(hot)
  expect(plan.counts()).toMatchObject({ overflows: 1, movedRows: 63 })
})

test('the same life gives the same plan', () => {
  fc.assert(
    fc.property(unit, size, life, (ofSlot, unitsPerHead, steps) => {
      const [a, b] = [planOf(ofSlot, unitsPerHead), planOf(ofSlot, unitsPerHead)]
      for (const step of steps) for (const plan of [a, b]) take(plan, step)
      expect(a.hotUnits(0)).toEqual(b.hotUnits(0))
      expect(a.counts()).toEqual(b.counts())
    }),
  )
})

test('rows used again and again stay while others pass through', () => {
  const plan = planOf('row', 8)
  plan.write(0, Array(16 * pages).keys())
  for (let step = 0; step < 50; step++) {
    plan.read(0, [runsOf([[0, 1, 2, 20 + step], []])])
  }
  expect(plan.counts().movedRows).toBe(3 + 50)
})

test('the last pages of a prompt are hot, but none that was used again goes for them', () => {
  const plan = planOf('block', 2)
  const promptOf = (first: number, last: number) => {
    plan.write(
      0,
      Array.from({ length: 16 * (last - first) }, (_, row) => 16 * first + row),
    )
  }
  promptOf(0, 4)
  expect(plan.hotUnits(0).map(String).sort()).toEqual(['0,2', '0,3', '1,2', '1,3'])
  for (let step = 0; step < 2; step++) plan.read(0, [runsOf([[40], [40]])])
  promptOf(4, 6)
  expect(plan.hotUnits(0).map(String).sort()).toEqual(['0,2', '0,5', '1,2', '1,5'])
  expect(plan.counts().movedRows).toBe(0)
})

test('a copied page is not hot until it is asked for', () => {
  const plan = planOf('block', 4)
  plan.write(0, [0, 1, 16])
  expect(plan.hotUnits(0).map(String).sort()).toEqual(['0,0', '0,1', '1,0', '1,1'])
  plan.copyPage(0, 1)
  expect(plan.hotUnits(0).map(String).sort()).toEqual(['0,0', '1,0'])
})

function planOf(ofSlot: 'row' | 'block', unitsPerHead: number): TierPlan {
  const hotBytes = hotBytesFor({ ...shape, unit: ofSlot }, unitsPerHead)
  return new TierPlan({ ...shape, tier: tieredKv({ lower: hostTier(), hotBytes, unit: ofSlot }) })
}

function take(plan: TierPlan, step: Step): void {
  if (step.kind === 'write') plan.write(0, step.slots)
  else plan.read(0, [runsOf(step.rows)])
}

/** One run a row. */
function runsOf(rows: Rows): ListedRun[] {
  return rows.flatMap((ofHead, kvHead) =>
    [...ofHead].sort((a, b) => a - b).map((row) => ({ page: Math.floor(row / 16), kvHead, row: row % 16, count: 1 })),
  )
}

function unitsOf(ofSlot: 'row' | 'block', rows: Rows): string[] {
  return runsOf(rows).map(({ page, kvHead, row }) => String(ofSlot === 'row' ? [kvHead, page, row] : [kvHead, page]))
}
