import { nmse } from '@kvasir/core/testing'
import { afterAll, describe, expect, test } from 'vitest'
import { availableBackends, loadKernels } from './backends.ts'
import { type CaseKind, type CaseResult, cases } from './cases.ts'

const shapesPerOp = 200
const reference = await loadKernels({ backend: 'reference' })
const kinds = Object.keys(cases) as CaseKind[]
const expected = new Map<string, Promise<CaseResult>>()

function referenceResult(kind: CaseKind, seed: number): Promise<CaseResult> {
  const key = `${kind} ${seed}`
  const result = expected.get(key) ?? cases[kind](reference, seed)
  expected.set(key, result)
  return result
}

const compiled = availableBackends().flatMap(({ backend, isas }) => isas.map((isa) => ({ backend, isa })))

describe.each(compiled.filter(({ backend }) => backend !== 'reference'))('$backend $isa', ({ backend, isa }) => {
  const loaded = loadKernels({ backend, isa, numThreads: 2 })
  afterAll(async () => (await loaded).dispose())

  test.each(kinds)('%s agrees with the reference', { timeout: 120_000 }, async (kind) => {
    const kernels = await loaded
    for (let seed = 0; seed < shapesPerOp; seed++) {
      const [actual, wanted] = [await cases[kind](kernels, seed), await referenceResult(kind, seed)]
      wanted.outputs.forEach((values, i) => {
        const { error, poison } = compare(actual.outputs[i]!, values)
        expect(poison, `${kind}, seed ${seed}, output ${i}: NaN and infinities`).toBe(true)
        expect(error, `${kind}, seed ${seed}, output ${i}: NMSE`).toBeLessThanOrEqual(wanted.maxNmse)
      })
    }
  })
})

test.skipIf(compiled.length === 1)('compiled kernels are there to be compared', () => {
  expect(compiled).toContainEqual({ backend: 'cpu', isa: 'scalar' })
})

/** Values that are not finite must be the same; the others are compared. */
function compare(actual: ArrayLike<number>, wanted: ArrayLike<number>): { error: number; poison: boolean } {
  const finite = Array.from(wanted, Number.isFinite)
  const poison = finite.every((is, i) => (is ? Number.isFinite(actual[i]) : Object.is(actual[i], wanted[i])))
  const keep = (values: ArrayLike<number>) => Array.from(values).filter((_, i) => finite[i])
  return { error: actual.length === wanted.length ? nmse(keep(actual), keep(wanted)) : Infinity, poison }
}
