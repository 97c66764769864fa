import { nmse } from '@kvasir/core/testing'
import { afterAll, describe, expect, test } from 'vitest'
import { loadKernels } from './backends.ts'
import { anyShapes, type CaseKind, type CaseResult, type CaseShapes, cases, gpuShapes } from './cases.ts'
import { loadTested, testedBackends } from './tested-backends.ts'

const shapesPerOp = 200
// Kernels in emulation take their time.
const shapesPerGpuOp = 60
/** What a GPU may be away from the reference where that is more than the case says: its attention rounds weights to float16. */
const gpuNmse: { readonly [K in CaseKind]?: number } = {
  attendRuns: 1e-6,
  attendPrefill: 1e-6,
  attentionMass: 1e-6,
}
const reference = await loadKernels({ backend: 'reference' })
const kinds = Object.keys(cases) as CaseKind[]
const expected = new Map<string, Promise<CaseResult>>()

function referenceResult(kind: CaseKind, seed: number, shapes: CaseShapes): Promise<CaseResult> {
  const key = `${kind} ${seed} ${shapes === anyShapes}`
  const result = expected.get(key) ?? cases[kind](reference, seed, shapes)
  expected.set(key, result)
  return result
}

const compiled = testedBackends()

describe.each(compiled.filter(({ backend }) => backend !== 'reference'))('$backend $isa', ({ backend, isa }) => {
  const isGpu = backend === 'cuda'
  const shapes = isGpu ? gpuShapes : anyShapes
  const loaded = loadTested({ backend, isa })
  afterAll(async () => (await loaded).dispose())

  test.each(kinds)('%s agrees with the reference', { timeout: 120_000 }, async (kind) => {
    const kernels = await loaded
    for (let seed = 0; seed < (isGpu ? shapesPerGpuOp : shapesPerOp); seed++) {
      const [actual, wanted] = [await cases[kind](kernels, seed, shapes), await referenceResult(kind, seed, shapes)]
      const maxNmse = Math.max(wanted.maxNmse, isGpu ? (gpuNmse[kind] ?? 0) : 0)
      wanted.outputs.forEach((values, i) => {
        const { error, poison } = compare(actual.outputs[i]!, values)
        expect(poison, `${kind}, seed ${seed}, output ${i}: NaN and infinities`).toBe(true)
        expect(error, `${kind}, seed ${seed}, output ${i}: NMSE`).toBeLessThanOrEqual(maxNmse)
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
