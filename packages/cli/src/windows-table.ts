import type { Estimate, SummaryRow } from '@kvasir/eval'
import { formatBytes, tableText } from './output.ts'

const head = ['policy', 'length', 'budget', 'n', 'KL nats', '95 %', 'PPL +%', 'top-1 %', 'read', 'hot', 'warm']

/** The summary of the windows suite for people. */
export function windowsTable(summary: readonly SummaryRow[]): string {
  return tableText(head, summary.map(cellsOf))
}

function cellsOf({ policy, length, budget, n, estimates }: SummaryRow): string[] {
  const { klNats, dPplPercent, top1, attendedTokensMean, hotBytes, warmBytes } = estimates
  return [
    policy,
    String(length),
    budget === null ? 'all' : String(budget),
    String(n),
    klNats.mean.toFixed(4),
    intervalText(klNats),
    dPplPercent.mean.toFixed(1),
    (100 * top1.mean).toFixed(1),
    attendedTokensMean.mean.toFixed(0),
    formatBytes(hotBytes.mean),
    formatBytes(warmBytes.mean),
  ]
}

function intervalText({ ci95 }: Estimate): string {
  return ci95 === null ? '-' : `${ci95[0].toFixed(4)} .. ${ci95[1].toFixed(4)}`
}
