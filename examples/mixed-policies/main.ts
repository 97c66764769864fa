// Two policies in one stack: one keeps some rows of a prompt, the other chooses among them at each step.
import { readFile } from 'node:fs/promises'
import { snapKv } from '@kvasir/baselines/snapkv'
import { type CachePolicy, compose, requireCapabilities, runsOfIndices } from '@kvasir/core'
import { encodeChat, generate, type LlamaModel, loadLlama } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { sentenceKv } from '@kvasir/sentence-kv'

/** A policy of one's own: of each prompt it keeps the sentences with a digit, the first 32 tokens and the last 32. */
export const keepNumbers: CachePolicy = {
  name: 'keep-numbers',
  effects: { slots: ['retain'], fidelity: 'lossy' },
  bind: (engine) => requireCapabilities('keep-numbers', engine, ['retain.per-head']),
  open: ({ profile }) => {
    const pieces: string[] = []
    return {
      async retain(view) {
        pieces.push(...view.pieces)
        if (!view.last) return {}
        const rows = rowsWithNumbers(pieces)
        return { keep: profile.shape.layers.map(({ numKvHeads }) => runsOfIndices(Array(numKvHeads).fill(rows))) }
      },
      async [Symbol.asyncDispose]() {},
    }
  },
}

/** Ascending. A sentence is what stands between two pieces with a full stop. */
function rowsWithNumbers(pieces: readonly string[]): number[] {
  const sentences: number[][] = [[]]
  for (const [row, piece] of pieces.entries()) {
    sentences.at(-1)!.push(row)
    if (piece.includes('.')) sentences.push([])
  }
  return sentences.flatMap((rows) => {
    const hasDigit = rows.some((row) => /\d/.test(pieces[row]))
    return rows.filter((row) => hasDigit || row < 32 || row >= pieces.length - 32)
  })
}

/** What is compared. SentenceKV reads 64 rows at a step; what it may choose from differs. */
export const stacks: Readonly<Record<string, CachePolicy | undefined>> = {
  'full cache': undefined,
  SentenceKV: sentenceKv({ budgetTokens: 64 }),
  SnapKV: keptBySnapKv(),
  'SnapKV, then SentenceKV': compose(keptBySnapKv(), sentenceKv({ budgetTokens: 64 })),
  'own, then SentenceKV': compose(keepNumbers, sentenceKv({ budgetTokens: 64 })),
}

/** Keeps 160 rows of the prompt for each KV head; `beside`: it leaves choosing to others. */
function keptBySnapKv(): CachePolicy {
  return snapKv({ budgetTokens: 160, generated: 'beside' })
}

export interface Outcome {
  readonly answer: string
  /** Rows that must be kept, mean over layers and KV heads. */
  readonly heldTokens: number
  /** Rows that attention read at a step, mean likewise. */
  readonly attendedTokens: number
}

/** Reads the text with the question after it, and answers under the policy. */
export async function ask(model: LlamaModel, question: string, policy?: CachePolicy): Promise<Outcome> {
  const text = await readFile(new URL('text.md', import.meta.url), 'utf8')
  const prompt = encodeChat(model, [{ role: 'user', content: `${text}\n---\n\n${question}` }])
  await using sequence = model.createSequence(policy && { policy })
  let answer = ''
  for await (const token of generate(model, sequence, prompt, { maxTokens: 24 })) answer += token.text
  const { heldTokens, attendedTokens, decodeSteps } = sequence.report()
  const heads = model.config.numLayers * model.config.numKvHeads
  return { answer: answer.trim(), heldTokens: heldTokens / heads, attendedTokens: attendedTokens / decodeSteps / heads }
}

async function main(): Promise<void> {
  await using model = await loadLlama({ model: modelPath, contextTokens: 1024 })
  const question = 'How many kilograms did the great lens weigh?'
  console.log(question)
  console.log(`${'stack'.padEnd(24)} ${'held'.padStart(5)} ${'attended'.padStart(8)}  answer`)
  for (const [name, policy] of Object.entries(stacks)) {
    const { answer, heldTokens, attendedTokens } = await ask(model, question, policy)
    const numbers = `${heldTokens.toFixed(0).padStart(5)} ${attendedTokens.toFixed(0).padStart(8)}`
    console.log(`${name.padEnd(24)} ${numbers}  ${answer}`)
  }
}

if (import.meta.filename === process.argv[1]) await main()
