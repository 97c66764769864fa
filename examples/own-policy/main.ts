// A cache policy from one function: tried without a model first, then on one, beside a window of the same budget.
import { readFile } from 'node:fs/promises'
import { type CachePolicy, fixedSelection, type ScorerView, scorer } from '@kvasir/core'
import { type ToyReport, toyEngine } from '@kvasir/core/testing'
import { encodeChat, generate, type LlamaModel, loadLlama } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'

/** The policy: of each KV head, the tokens whose key is nearest to any of the queries that read it. */
export function nearestKeys(budgetTokens: number): CachePolicy {
  return scorer('nearest-keys', { budgetTokens }, bestDotProducts)
}

/** One number a token: its largest dot product with the queries. Sinks and recent tokens are read whatever it says. */
function bestDotProducts({ queries, keys, numTokens }: ScorerView): Float32Array {
  const held = keys(0, numTokens)
  const headDim = held.length / numTokens
  const scores = new Float32Array(numTokens).fill(Number.NEGATIVE_INFINITY)
  for (let query = 0; query < queries.length; query += headDim) {
    for (let token = 0; token < numTokens; token++) {
      let sum = 0
      for (let i = 0; i < headDim; i++) sum += queries[query + i] * held[token * headDim + i]
      if (sum > scores[token]) scores[token] = sum
    }
  }
  return scores
}

/** To compare with: the first 4 and the last tokens, as many as the budget allows. */
export function recentTokens(budgetTokens: number): CachePolicy {
  return fixedSelection('recent', ({ numTokens }) => [
    { start: 0, end: Math.min(4, numTokens) },
    { start: Math.max(0, numTokens - budgetTokens + 4), end: numTokens },
  ])
}

/** Step 1: the toy engine needs no model and checks every plan. */
export async function tryOnToy(policy: CachePolicy): Promise<ToyReport> {
  const prompt = 'The keys of the tower are kept by the cook. '.repeat(8)
  const { report } = await toyEngine().generate(prompt, { maxTokens: 16, policy })
  return report
}

/** Step 2: the same policy, unchanged, on a language model. */
export async function ask(model: LlamaModel, text: string, question: string, policy?: CachePolicy): Promise<string> {
  const prompt = encodeChat(model, [{ role: 'user', content: `${text}\n\n---\n\n${question}` }])
  await using sequence = model.createSequence(policy && { policy })
  let answer = ''
  for await (const token of generate(model, sequence, prompt, { maxTokens: 24 })) answer += token.text
  return answer.trim()
}

/** Some 650 tokens of the demo's chronicle; the answer stands near their beginning. */
export async function readChapters(): Promise<string> {
  const path = new URL('../../packages/cli/assets/long-document.md', import.meta.url)
  const document = await readFile(path, 'utf8')
  return document.slice(document.indexOf('## The bridge'), document.indexOf('## The town today'))
}

async function main(): Promise<void> {
  const { decodeSteps, attendedTokens, quarantined } = await tryOnToy(nearestKeys(48))
  const perStep = attendedTokens / decodeSteps / 4 // 2 layers of 2 KV heads
  console.log(`toy engine: ${perStep} tokens a step and KV head, ${quarantined ? 'set aside' : 'every plan valid'}`)
  await using model = await loadLlama({ model: modelPath })
  const text = await readChapters()
  const question = 'How long is the bridge?'
  console.log(question)
  console.log('  full cache       ', await ask(model, text, question))
  console.log('  nearest keys, 64 ', await ask(model, text, question, nearestKeys(64)))
  console.log('  recent tokens, 64', await ask(model, text, question, recentTokens(64)))
}

if (import.meta.filename === process.argv[1]) await main()
