import {
  type BenchName,
  type BenchReport,
  type BenchRow,
  benchNames,
  type PeerName,
  runBench,
  type TierName,
  tierNames,
} from '@kvasir/bench'
import { checkOneOf } from '@kvasir/core'
import type { Command } from 'commander'
import { integer, integerList, repeated } from '../arguments.ts'
import { readLongDocument } from '../long-document.ts'
import { modelOption } from '../model.ts'
import { note, printJson, tableText } from '../output.ts'

interface BenchFlags {
  readonly model: string
  readonly against?: PeerName
  readonly length?: readonly number[]
  readonly policy?: readonly string[]
  readonly budget?: readonly number[]
  readonly tier?: readonly string[]
  readonly donors?: number
  readonly threads?: number
  readonly pairs: number
  readonly json?: true
}

export function addBenchCommand(program: Command): void {
  program
    .command('bench')
    .description('measure speed, in turns with a peer on the same machine')
    .argument('<what...>', `some of ${benchNames.join(', ')}`)
    .option(...modelOption)
    .option('--against <peer>', 'llama.cpp')
    .option('--length <n,...>', 'tokens in the sequence', integerList('--length', 1))
    .option('--policy <spec>', 'policy to decode under (default: sentence-kv); may be given more than once', repeated)
    .option('--budget <n,...>', 'tokens a KV head (default: 256)', integerList('--budget', 1))
    .option(
      '--tier <name>',
      `decode from a lower tier as well: ${tierNames.join(', ')}; may be given more than once`,
      repeated,
    )
    .option('--donors <n>', 'donors to look up among (default: 100,000)', integer('--donors', 1))
    .option('--threads <n>', 'threads of each engine (default: the physical cores)', integer('--threads', 1, 256))
    .option('--pairs <n>', 'rounds in which each takes its turn', integer('--pairs', 1), 5)
    .option('--json', 'print one JSON object')
    .action(measure)
}

async function measure(
  what: string[],
  { model, against, length, policy, budget, tier, donors, threads, pairs, json }: BenchFlags,
): Promise<void> {
  const report = await runBench({
    what: what.map((name) => checkOneOf('what', name as BenchName, benchNames)),
    model,
    text: readLongDocument().text,
    pairs,
    ...(against && { against }),
    ...(length && { lengths: length }),
    ...(policy && { policies: policy }),
    ...(budget && { budgets: budget }),
    ...(tier && { tiers: tier.map((name) => checkOneOf('--tier', name as TierName, tierNames)) }),
    ...(donors && { donors }),
    ...(threads && { threads }),
    onProgress: changes(note),
  })
  if (json) printJson(report)
  else process.stdout.write(`${reportText(report)}\n`)
}

/** Passes on only what differs from the last time. */
function changes(tell: (label: string) => void): (label: string) => void {
  let last = ''
  return (label) => {
    if (label !== last) tell(label)
    last = label
  }
}

const head = ['', 'shape', 'ours', 'theirs', 'unit', 'against', 'ratio', 'quartiles', 'pairs']

function reportText({ machine, threads, rows }: BenchReport): string {
  const { cpu, kernels, node } = machine
  const where = `${cpu}, ${threads} threads, ${kernels}, Node ${node}`
  return `${where}\nA ratio above 1 is better for us.\n\n${tableText(head, rows.map(cellsOf))}`
}

function cellsOf(row: BenchRow): string[] {
  const { name, shape, unit, ours, theirs, against, ratio, ratioQuartiles, pairs } = row
  return [
    name,
    shape,
    figure(ours),
    theirs === undefined ? '' : figure(theirs),
    unit,
    against ?? '',
    ratio === undefined ? '' : ratio.toFixed(2),
    ratioQuartiles === undefined ? '' : ratioQuartiles.map((edge) => edge.toFixed(2)).join(' .. '),
    String(pairs),
  ]
}

/** Three digits that matter. */
function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3)
}
