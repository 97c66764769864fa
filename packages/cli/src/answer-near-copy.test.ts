import { loadLlama } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { donorLibrary, semShareKv } from '@kvasir/semshare-kv'
import { hostDonors } from '@kvasir/tier'
import { expect, test } from 'vitest'
import { answerNearCopy, lendPrompt } from './answer-near-copy.ts'
import { openingOf, readLongDocument } from './long-document.ts'
import { applyEdits, type NearCopy } from './near-copy.ts'
import { nearCopyReport } from './near-copy-report.ts'
import { shareScope } from './share-scope.ts'

const nearCopy: NearCopy = {
  question: 'What was the larger boat called?',
  expects: 'Red Curlew',
  formerly: 'Grey Heron',
  edits: [
    { what: '', find: '# A Chronicle', replace: 'Second printing, with one name put right.\n\n# A Chronicle' },
    { what: '', find: 'called the Grey Heron', replace: 'called the Red Curlew' },
    { what: '', swap: ['The leader of the nine', 'For the first twenty'] },
  ],
}

test('a near-copy is answered with its own fact from what the first document lends', { timeout: 120_000 }, async () => {
  const donors = await donorLibrary({ store: hostDonors({ budgetBytes: 1e8 }) })
  await using model = await loadLlama({ model: modelPath, contextTokens: 2048, donors })
  const policy = semShareKv({ donors })
  const sharing = { policy, scope: shareScope(model, policy) }
  const document = openingOf(readLongDocument())
  const { question, edits, expects } = nearCopy
  const edited = { ...document, question, text: applyEdits(document.text, edits) }

  const elsewhere = { policy, scope: shareScope(model, policy, 'elsewhere') }
  const alone = await answerNearCopy(model, { ...edited, text: edited.text.slice(0, 900) }, elsewhere)
  expect(alone.reuse).toMatchObject({ accepted: false, borrowedTokens: 0, recomputedShare: 1 })
  expect([alone.audit, alone.borrowed.text]).toEqual([null, alone.full.text])
  expect(nearCopyReport(nearCopy, alone)).toMatch(/Guard: declined, .*in full\. No stored prompt/)

  expect(await lendPrompt(model, { ...document, question }, sharing)).toMatch(/./)
  const outcome = await answerNearCopy(model, edited, sharing)
  expect(outcome.full.text).toContain(expects)
  expect(outcome.borrowed.text).toContain(expects)
  expect(outcome.reuse).toMatchObject({ accepted: true, reason: expect.stringMatching(/^borrows \d+ of \d+ tokens/) })
  expect(outcome.reuse!.borrowedTokens).toBeGreaterThan(0.8 * outcome.promptTokens)
  expect(outcome.reuse!.recomputedShare).toBeLessThan(0.5)
  expect(outcome.audit!.klNats).toBeLessThan(0.1)
  expect(outcome.borrowed.firstTokenMs).toBeGreaterThan(0)
  const report = nearCopyReport(nearCopy, outcome)
  expect(report).toMatch(/says +Red Curlew +Red Curlew/)
  expect(report).toMatch(/Guard: accepted\. Borrows .*\nAudit: .* 0\.\d{4} nats/)
})

test('a report says which facts an answer names, and that a policy was put aside', () => {
  const sides = { borrowed: { text: 'The Grey Heron.', firstTokenMs: 10 }, full: { text: 'A boat.', firstTokenMs: 20 } }
  const report = nearCopyReport(nearCopy, { promptTokens: 100, ...sides, reuse: null, audit: null })
  expect(report).toMatch(/says +neither name +Grey Heron/)
  expect(report).toContain('put aside')
})
