import { setTimeout as sleep } from 'node:timers/promises'
import { median, quantile } from '@kvasir/eval'
import type { BenchRow } from './report.ts'

/** Idle time before each measurement: worker threads of either engine spin a while before they sleep. */
const settleMs = 30

/** One of the things that take turns: runs once and says how long it took. */
export type Contestant = () => Promise<number>

/**
 * Runs all contestants in turn, round after round (A B A B ...), so that whatever the machine does beside hits all alike.
 * One round more goes first and is not counted. Returns milliseconds by name, one a round.
 */
export async function takeTurns<Name extends string>(
  contestants: Readonly<Record<Name, Contestant>>,
  rounds: number,
  onTurn: () => void = () => {},
): Promise<Record<Name, number[]>> {
  const names = Object.keys(contestants) as Name[]
  const times = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>
  for (let round = -1; round < rounds; round++) {
    for (const name of names) {
      await sleep(settleMs)
      const ms = await contestants[name]()
      if (round >= 0) times[name].push(ms)
      onTurn()
    }
  }
  return times
}

export interface RowLabel {
  readonly name: string
  readonly shape: string
  readonly unit: string
}

/** A row of measured times; `toUnit` turns milliseconds into the row's unit. */
export function timeRow(label: RowLabel, toUnit: (ms: number) => number, oursMs: readonly number[]): BenchRow {
  return { ...label, ours: toUnit(median(oursMs)), pairs: oursMs.length }
}

/** The same beside another's times of the same rounds. The ratio is taken round by round: theirs over ours in time. */
export function pairedRow(
  label: RowLabel,
  toUnit: (ms: number) => number,
  oursMs: readonly number[],
  theirsMs: readonly number[],
  against: string,
): BenchRow {
  const ratios = oursMs.map((ms, round) => theirsMs[round] / ms)
  return {
    ...timeRow(label, toUnit, oursMs),
    theirs: toUnit(median(theirsMs)),
    against,
    ratio: median(ratios),
    ratioQuartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
  }
}
