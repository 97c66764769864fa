import { makePolicy, mean, median } from '@kvasir/eval'
import { kernelsOf } from '@kvasir/kernels'
import type { LlamaModel } from '@kvasir/llama'
import { donorLibrary, semShareKv } from '@kvasir/semshare-kv'
import { hostDonors } from '@kvasir/tier'
import type { Command } from 'commander'
import colors from 'picocolors'
import { answerNearCopy, lendPrompt, type Sharing } from '../answer-near-copy.ts'
import { type LongDocument, openingOf, readLongDocument } from '../long-document.ts'
import { modelOption, openModel } from '../model.ts'
import { applyEdits, readNearCopy } from '../near-copy.ts'
import { nearCopyReport } from '../near-copy-report.ts'
import { formatBytes, startProgress, tableText } from '../output.ts'
import { defaultBudget, readArm } from '../policy-option.ts'
import { shareScope } from '../share-scope.ts'
import { answerSideBySide, type QuestionOutcome, type Side } from '../side-by-side.ts'

const names = { full: 'full cache', policy: 'sentence-kv' } as const
const labelWidth = 13
/** Room for one donor as long as the model's context, and more. */
const donorBytes = 512e6

const print = (text: string) => process.stdout.write(text)

export function addDemoCommand(program: Command): void {
  program
    .command('demo')
    .description(
      'questions about a long document: the full cache beside SentenceKV; then about a near-copy of it: SemShareKV',
    )
    .option(...modelOption)
    .action(runDemo)
}

async function runDemo({ model: path }: { model: string }): Promise<void> {
  const donors = await donorLibrary({ store: hostDonors({ budgetBytes: donorBytes }) })
  await using model = await openModel(path, { donors })
  const policy = semShareKv({ donors, fidelity: 'balanced' })
  const sharing = { policy, scope: shareScope(model, policy) }
  const isNative = kernelsOf(model.profile).backend !== 'reference'
  const document = isNative ? readLongDocument() : openingOf(readLongDocument())
  if (!isNative) print('Without the native core this reads the first chapter only, and takes some minutes.\n')
  await showSideBySide(model, document, sharing)
  if (isNative) await showNearCopy(model, document, sharing)
}

async function showSideBySide(model: LlamaModel, document: LongDocument, { scope }: Sharing): Promise<void> {
  const policy = makePolicy(readArm('sentence-kv'))
  const startMs = performance.now()
  const bar = startProgress(1, 'reading')
  const outcomes: QuestionOutcome[] = []
  const answers = answerSideBySide(model, document, policy, {
    scope,
    onRead: (numTokens, numTotal) => {
      bar.update(numTokens / numTotal, 'reading')
      if (numTokens < numTotal) return
      bar.stop()
      const seconds = (performance.now() - startMs) / 1e3
      const rate = Math.round(numTotal / seconds)
      print(
        `Read a document of ${numTotal} tokens in ${seconds.toFixed(1)} s (${rate} tokens a second), once for all questions.\n`,
      )
    },
    onQuestion: (question) => print(`\n${colors.bold(question)}`),
    onAnswer: (side) => print(`\n  ${names[side].padEnd(labelWidth)}`),
    onText: print,
  })
  for await (const outcome of answers) {
    outcomes.push(outcome)
    print('\n')
  }
  print(`\n${closingTable(outcomes)}\n`)
}

/** The document once more, as its author edited it: answered from the KV of the first one, and by a prefill of its own. */
async function showNearCopy(model: LlamaModel, document: LongDocument, sharing: Sharing): Promise<void> {
  const nearCopy = readNearCopy()
  const { edits, question } = nearCopy
  print(`\nA near-copy of the document, prefilled from what was read: ${edits.map(({ what }) => what).join(', ')}.\n`)
  const bar = startProgress(1, 'answering twice')
  await lendPrompt(model, { ...document, question: document.questions[0].question }, sharing)
  const edited = { ...document, text: applyEdits(document.text, edits), question }
  const outcome = await answerNearCopy(model, edited, sharing)
  bar.stop()
  print(`\n${colors.bold(question)}\n`)
  print(`  ${'full prefill'.padEnd(labelWidth)}${outcome.full.text}\n`)
  print(`  ${'semshare-kv'.padEnd(labelWidth)}${outcome.borrowed.text}\n`)
  print(`\n${nearCopyReport(nearCopy, outcome)}\n`)
}

/** What the two caches gave and cost, over all questions. */
function closingTable(outcomes: readonly QuestionOutcome[]): string {
  const comparisons = outcomes.flatMap((outcome) => outcome.comparisons)
  const bytes = bothSides((side) => mean(outcomes.map(({ sides }) => sides[side].memory.hotBytes)))
  const rows = bothSides((side) => mean(outcomes.map(({ sides }) => sides[side].memory.attendedTokensMean)))
  const stepMs = bothSides((side) => median(outcomes.flatMap(({ sides }) => sides[side].stepMs)))
  const right = bothSides((side) => outcomes.filter(({ sides, expects }) => sides[side].text.includes(expects)).length)
  const agreement = mean(comparisons.map(({ sameBest }) => Number(sameBest)))
  const kl = mean(comparisons.map(({ klNats }) => klNats))
  const table = tableText(
    ['', names.full, `${names.policy}, budget ${defaultBudget}`],
    [
      ['answers that name the right thing', ...[right.full, right.policy].map((n) => `${n} of ${outcomes.length}`)],
      ['tokens that a step attends', rows.full.toFixed(0), rows.policy.toFixed(0)],
      ['KV cache that a step reads (hot)', formatBytes(bytes.full), formatBytes(bytes.policy)],
      ['time of a new token', ...[stepMs.full, stepMs.policy].map((ms) => `${ms.toFixed(1)} ms`)],
      ['same next token as the full cache', '', `${(100 * agreement).toFixed(1)} % of ${comparisons.length}`],
      ['KL from the full cache', '', `${kl.toFixed(4)} nats a token`],
    ],
  )
  const less = (bytes.full / bytes.policy).toFixed(1)
  const time = Math.round((100 * stepMs.policy) / stepMs.full)
  return [
    table,
    '',
    `SentenceKV reads ${less} times less of the KV cache for a new token, in ${time} % of the time.`,
    'The rest of the cache is kept, and may lie in slower memory. KL says how far its next-token probabilities are',
    'from those of the full cache: 0 is the same, 0.01 is hard to notice, 1 is another text.',
  ].join('\n')
}

function bothSides<T>(of: (side: Side) => T): Record<Side, T> {
  return { full: of('full'), policy: of('policy') }
}
