// Asks questions of a document that is twenty times longer than what attention may read at a step.
import { readFile } from 'node:fs/promises'
import type { CachePolicy } from '@kvasir/core'
import { encodeChat, generate, type LlamaModel, loadLlama, type Sequence } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { sentenceKv } from '@kvasir/sentence-kv'

export interface Answer {
  readonly text: string
  readonly msPerToken: number
  /** What a decode step reads: attended K and V, keys read to choose among them, the index. */
  readonly hotBytes: number
}

export interface Comparison {
  readonly question: string
  readonly full: Answer
  readonly sentenceKv: Answer
}

export interface CompareOptions {
  readonly document: string
  readonly instruction: string
  readonly questions: readonly string[]
  readonly budgetTokens: number
}

/** Reads the document once; answers each question from a fork under the full cache and one under SentenceKV. */
export async function* compareAnswers(model: LlamaModel, options: CompareOptions): AsyncGenerator<Comparison> {
  const { document, instruction, questions, budgetTokens } = options
  const prompts = questions.map((question) =>
    encodeChat(model, [{ role: 'user', content: `${instruction}\n\n${document.trim()}\n\n${question}` }]),
  )
  const numShared = commonPrefix(prompts)
  await using reader = model.createSequence()
  await reader.prefill(prompts[0].slice(0, numShared))
  for (const [at, question] of questions.entries()) {
    const rest = prompts[at].slice(numShared)
    yield {
      question,
      full: await answer(model, reader, rest),
      sentenceKv: await answer(model, reader, rest, sentenceKv({ budgetTokens })),
    }
  }
}

/** Goes on from a fork of `reader`: same KV rows, shared and not copied, under a policy of its own. */
async function answer(model: LlamaModel, reader: Sequence, prompt: Int32Array, policy?: CachePolicy): Promise<Answer> {
  await using sequence = await reader.fork(policy && { policy })
  let text = ''
  let numTokens = 0
  let firstMs = 0
  for await (const token of generate(model, sequence, prompt, { maxTokens: 48 })) {
    if (numTokens++ === 0) firstMs = performance.now()
    text += token.text
  }
  const msPerToken = (performance.now() - firstMs) / Math.max(1, numTokens - 1)
  return { text: text.trim(), msPerToken, hotBytes: hotBytesOf(model, sequence) }
}

function hotBytesOf({ config }: LlamaModel, sequence: Sequence): number {
  const { numTokens, decodeSteps, attendedTokens, pooledTokens, kvBytes, indexBytes } = sequence.report()
  if (decodeSteps === 0) return 0
  const bytesPerRow = kvBytes / numTokens / config.numLayers / config.numKvHeads
  const onlyKeys = Math.max(0, pooledTokens - attendedTokens)
  return Math.round(((attendedTokens + onlyKeys / 2) * bytesPerRow) / decodeSteps + indexBytes)
}

/** How many ids all prompts begin with; less than the shortest. */
function commonPrefix(prompts: readonly Int32Array[]): number {
  const shortest = Math.min(...prompts.map((prompt) => prompt.length))
  let length = 0
  while (length < shortest - 1 && prompts.every((prompt) => prompt[length] === prompts[0][length])) length++
  return length
}

async function main(): Promise<void> {
  const assets = new URL('../../packages/cli/assets/', import.meta.url)
  const { document, instruction, questions } = JSON.parse(await readFile(new URL('questions.json', assets), 'utf8'))
  await using model = await loadLlama({ model: modelPath })
  const comparisons = compareAnswers(model, {
    document: await readFile(new URL(document, assets), 'utf8'),
    instruction,
    questions: questions.map(({ question }: { question: string }) => question),
    budgetTokens: 256,
  })
  for await (const { question, full, sentenceKv } of comparisons) {
    console.log(question)
    for (const [name, { text, msPerToken, hotBytes }] of Object.entries({ full, sentenceKv })) {
      const numbers = `${(hotBytes / 2 ** 20).toFixed(1)} MiB hot, ${msPerToken.toFixed(1)} ms/token`
      console.log(`  ${name.padEnd(10)} ${text}  (${numbers})`)
    }
  }
}

if (import.meta.filename === process.argv[1]) await main()
