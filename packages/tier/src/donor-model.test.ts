import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type DonorKv, type Scope, ScopeError, sameScope } from '@kvasir/core'
import { testDonor } from '@kvasir/core/testing'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fileDonors } from './file-donors.ts'
import { hostDonors } from './host-donors.ts'
import type { KvDonors } from './kv-donors.ts'

const { scope } = testDonor()
/** Each differs from the first in one letter of one field. */
const scopes: readonly Scope[] = [
  scope,
  ...Object.keys(scope).map((field) => ({ ...scope, [field]: `${scope[field as keyof Scope].slice(0, -1)}2` })),
]
const roomForDonors = 4

type Step =
  | { readonly kind: 'put' | 'open'; readonly id: number; readonly owner: number }
  | { readonly kind: 'remove' | 'close'; readonly id: number }

const id = fc.nat(6)
const owner = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(scopes.length - 1) })
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom('put' as const, 'open' as const), id, owner }),
  fc.record({ kind: fc.constantFrom('remove' as const, 'close' as const), id }),
)

interface Known {
  readonly id: string
  readonly scope: Scope
  readonly seed: number
  readers: number
}

/** What a store should do, in terms of whole donors. */
class Model {
  /** Longest unused first. */
  found: Known[] = []
  /** Not found, but read. */
  held: Known[] = []

  put(known: Known): boolean {
    while (this.found.length + this.held.length >= roomForDonors) {
      const victim = this.found.find(({ readers }) => readers === 0)
      if (victim === undefined) return false
      this.found = this.found.filter((other) => other !== victim)
    }
    const before = this.found.find((other) => other.id === known.id)
    if (before !== undefined) this.remove(before)
    this.found.push(known)
    return true
  }

  use(known: Known): void {
    known.readers++
    this.found = [...this.found.filter((other) => other !== known), known]
  }

  remove(known: Known): void {
    this.found = this.found.filter((other) => other !== known)
    if (known.readers > 0) this.held.push(known)
  }

  close(known: Known): void {
    known.readers--
    if (known.readers === 0) this.held = this.held.filter((other) => other !== known)
  }
}

interface Loan {
  readonly donor: DonorKv
  readonly known: Known
}

/** What a put evicts, and whether it finds room, can be foretold once what was closed and freed is so. */
async function play(store: KvDonors, donorBytes: number, steps: readonly Step[]): Promise<number> {
  const model = new Model()
  const loans: Loan[] = []
  let crossScope = 0
  for (const [seed, step] of steps.entries()) {
    const name = `d${step.id}`
    const known = model.found.find((other) => other.id === name)
    if (step.kind === 'put' || step.kind === 'open') {
      const asked = scopes[step.owner]!
      if (known !== undefined && !sameScope(known.scope, asked)) {
        crossScope++
        const trying = step.kind === 'put' ? store.put(testDonor({ id: name, scope: asked })) : store.open(name, asked)
        await expect(trying).rejects.toThrow(ScopeError)
      } else if (step.kind === 'put') {
        const isPut = await store.put(testDonor({ id: name, scope: asked, seed }))
        expect(isPut).toBe(model.put({ id: name, scope: asked, seed, readers: 0 }))
      } else {
        const donor = await store.open(name, asked)
        expect(donor !== null).toBe(known !== undefined)
        if (donor !== null && known !== undefined) {
          model.use(known)
          loans.push({ donor, known })
        }
      }
    } else if (step.kind === 'remove') {
      expect(store.remove(name)).toBe(known !== undefined)
      if (known !== undefined) model.remove(known)
    } else {
      for (const loan of loans.filter((other) => other.known.id === name)) {
        loan.donor.close()
        model.close(loan.known)
        loans.splice(loans.indexOf(loan), 1)
      }
    }
    expect(store.ids()).toEqual(model.found.map((other) => other.id))
    await expect
      .poll(() => store.counts().bytes, { interval: 1 })
      .toBe((model.found.length + model.held.length) * donorBytes)
    await expect.poll(() => store.counts().lent, { interval: 1 }).toBe(new Set(loans.map((loan) => loan.known)).size)
    for (const { donor, known: lent } of loans.slice(0, 2)) {
      expect(donor.scope).toEqual(lent.scope)
      expect(await donor.layer(1)).toEqual(await testDonor({ seed: lent.seed }).layer(1))
    }
  }
  for (const { donor } of loans) donor.close()
  await store.dispose()
  return crossScope
}

async function check(openStore: (budgetBytes: number) => Promise<KvDonors>, numRuns: number): Promise<void> {
  const probe = await openStore(1 << 20)
  await probe.put(testDonor({ id: 'dx', scope: scopes[0]! }))
  const donorBytes = probe.counts().bytes
  let crossScope = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
      crossScope += await play(await openStore(roomForDonors * donorBytes), donorBytes, steps)
    }),
    { numRuns },
  )
  expect(crossScope).toBeGreaterThan(numRuns)
}

test('a host store does what the model says', { timeout: 60_000 }, () =>
  check(async (budgetBytes) => hostDonors({ budgetBytes }), 300),
)

test('a file store does what the model says', { timeout: 60_000 }, () =>
  check(async (budgetBytes) => fileDonors({ folder: await mkdtemp(join(tmpdir(), 'kvasir-model-')), budgetBytes }), 20),
)
