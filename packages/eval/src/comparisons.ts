import type { BootstrapOptions } from './bootstrap.ts'
import { groupBy } from './group-by.ts'
import { holmAdjusted, type PairedDifference, pairedDifference, signFlipP } from './paired.ts'
import type { CaseKey } from './results-file.ts'
import { inOrder } from './summary.ts'

/** Two policies at one budget, over the cases that both ran. */
export interface ArmComparison extends PairedDifference, Omit<CaseKey, 'id'> {
  readonly field: string
  /** The other policy: `difference` is that of `policy` minus this one's. */
  readonly other: string
  /** Two-sided, by random changes of sign. */
  readonly p: number
  /** The same, corrected for all comparisons of this suite, length, mode and field. */
  readonly pHolm: number
}

/** What is compared of each suite. */
const comparedFields: Readonly<Record<string, readonly string[]>> = {
  windows: ['nllNats', 'klNats', 'top1'],
  niah: ['correct', 'exact', 'goldNllNats'],
  ruler: ['score', 'goldNllNats'],
  longbench: ['score', 'goldNllNats'],
  turns: ['correct', 'correctLater', 'goldNllNats'],
}

/** Every two policies of equal budget that ran the same cases of one suite, length and mode. */
export function compareArms(rows: readonly CaseKey[], options: BootstrapOptions = {}): ArmComparison[] {
  const families = groupBy(rows, ({ suite, length, mode }) => JSON.stringify([suite, length, mode]))
  return [...families.values()].flatMap((family) => {
    const sameArm = groupBy(family, ({ policy, budget }) => JSON.stringify([policy, budget]))
    const arms = [...sameArm.values()].map(inOrder)
    const pairs = arms.flatMap((ours, i) =>
      arms.slice(i + 1).flatMap((theirs) => (ours[0].budget === theirs[0].budget ? [[ours, theirs] as const] : [])),
    )
    return (comparedFields[family[0].suite] ?? []).flatMap((field) => {
      const compared = pairs.map(([ours, theirs]) => compareTwo(field, ours, theirs, options)).filter(({ n }) => n > 0)
      const adjusted = holmAdjusted(compared.map(({ p }) => p))
      return compared.map((comparison, i) => ({ ...comparison, pHolm: adjusted[i] }))
    })
  })
}

function compareTwo(
  field: string,
  ours: readonly CaseKey[],
  theirs: readonly CaseKey[],
  options: BootstrapOptions,
): Omit<ArmComparison, 'pHolm'> {
  const { suite, length, policy, budget, mode } = ours[0]
  const figureOf = (row: CaseKey) => (row as unknown as Readonly<Record<string, number>>)[field]
  const byId = new Map(theirs.map((row) => [row.id, row]))
  const pairs = ours.flatMap((row) => {
    const other = byId.get(row.id)
    return other ? [[figureOf(row), figureOf(other)] as const] : []
  })
  const [left, right] = [pairs.map(([value]) => value), pairs.map(([, value]) => value)]
  const p = signFlipP(
    left.map((value, i) => value - right[i]),
    options,
  )
  return {
    suite,
    length,
    policy,
    other: theirs[0].policy,
    budget,
    mode,
    field,
    ...pairedDifference(left, right, options),
    p,
  }
}
