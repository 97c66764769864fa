import { type LlamaModel, loadLlama } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { type DonorLibrary, donorLibrary, type SemShareKv, semShareKv } from '@kvasir/semshare-kv'
import { hostDonors } from '@kvasir/tier'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { answerBatch, type Documents, readDocuments } from './main.ts'

let donors: DonorLibrary
let model: LlamaModel
let policy: SemShareKv
let documents: Documents
beforeAll(async () => {
  donors = await donorLibrary({ store: hostDonors({ budgetBytes: 256e6 }) })
  model = await loadLlama({ model: modelPath, contextTokens: 2048, donors })
  policy = semShareKv({ donors, fidelity: 'balanced' })
  documents = await readDocuments()
})
afterAll(() => model.dispose())

test('every version is another text, and has the answer to its question', () => {
  const texts = documents.questions.map(({ version }) => documents.textOf(version))
  expect(new Set(texts).size).toBe(4)
  for (const [at, { expects }] of documents.questions.entries()) expect(texts[at]).toContain(expects)
  expect(() => documents.textOf('lost')).toThrow('no version lost')
})

test('later versions borrow from the first and answer with their own facts', { timeout: 120_000 }, async () => {
  const [first, ...others] = documents.questions
  const [computed] = await answerBatch(model, policy, documents, [first])
  expect(computed.reuse).toMatchObject({ accepted: false, recomputedShare: 1 })
  expect(computed.text).toContain(first.expects)
  expect(donors.size).toBe(1)

  const borrowed = await answerBatch(model, policy, documents, others)
  for (const { version, text, expects, reuse, promptTokens } of borrowed) {
    expect(text, version).toContain(expects)
    expect(reuse, version).toMatchObject({ accepted: true, donors: [expect.any(String)] })
    expect(reuse.borrowedTokens, version).toBeGreaterThan(0.6 * promptTokens)
    expect(reuse.recomputedShare, version).toBeLessThan(0.6)
  }
  // Prompts that borrowed lend nothing.
  expect(donors.size).toBe(1)
  const counts = policy.reuseCounts()
  expect(counts).toMatchObject({ asked: 4, offered: 3, declined: 1, givenUp: 0, badAudits: 0, openBreakers: 0 })
  expect(counts.audits).toBeGreaterThan(0)
})
