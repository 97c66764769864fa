import { OptionError } from '@kvasir/core'
import { memoryDonors } from '@kvasir/core/testing'
import { expect, test } from 'vitest'
import { donorLibrary } from '../library/donor-library.ts'
import { semShareKv } from '../semshare-kv.ts'
import { fidelities } from './fidelities.ts'
import { resolveKvasir } from './options.ts'

const donors = await donorLibrary({ store: memoryDonors() })

test('a fidelity sets the dials, and those that are set by themselves stay', () => {
  expect(resolveKvasir({ donors })).toMatchObject(fidelities.balanced)
  for (const fidelity of ['strict', 'balanced', 'fast'] as const) {
    const options = { donors, fidelity, tailTokens: 99, probeRows: undefined as never }
    expect(resolveKvasir(options)).toMatchObject({ ...fidelities[fidelity], tailTokens: 99 })
  }
})

test('without probe rows and rows by deviation there is nothing to narrow', () => {
  const slots = (options: object) => semShareKv({ donors, ...options }).effects.slots
  expect(slots({})).toContain('recompute')
  expect(slots({ probeRows: 0, deviationShare: 0 })).not.toContain('recompute')
})

test.each([
  [{ fidelity: 'exact' }, /fidelity: expected one of strict, balanced, fast/],
  [{ fidelty: 'fast' }, /Did you mean fidelity\?/],
  [{ startShare: 1.5 }, /startShare: expected a number in \[0, 1\]/],
  [{ startMinTokens: 9, startMaxTokens: 8 }, /startMaxTokens: expected an integer >= 9/],
  [{ tailTokens: 0 }, /tailTokens/],
  [{ factReachTokens: 'some' }, /factReachTokens/],
  [{ maxConflicts: -1 }, /maxConflicts/],
  [{ auditShare: 2 }, /auditShare/],
  [{ workload: 3 }, /workload: expected a string/],
  [{ donors: undefined }, /donors: expected a donor library/],
])('misuse: %o', (options, message) => {
  const make = () => semShareKv({ donors, ...options } as never)
  expect(make).toThrow(OptionError)
  expect(make).toThrow(message)
})
