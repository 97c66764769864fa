// Answers questions on several versions of one text, in batches: each prompt borrows what earlier ones have in common with it.
import { readFile } from 'node:fs/promises'
import type { Scope } from '@kvasir/core'
import { encodeChat, type LlamaModel, loadLlama, type ReuseReport, type Sequence } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { donorLibrary, type ReuseCounts, type SemShareKv, semShareKv } from '@kvasir/semshare-kv'
import { hostDonors } from '@kvasir/tier'

/** A text that is there in several versions, each made of named sections and some other words. */
interface Versions {
  readonly instruction: string
  readonly sections: Readonly<Record<string, string>>
  readonly added: Readonly<Record<string, string>>
  readonly versions: readonly VersionOf[]
  readonly questions: readonly Question[]
}

interface VersionOf {
  readonly name: string
  readonly sections: readonly string[]
  readonly replace: Readonly<Record<string, string>>
}

export interface Question {
  readonly version: string
  readonly question: string
  /** What a right answer contains. */
  readonly expects: string
}

export interface Answer extends Question {
  readonly promptTokens: number
  readonly text: string
  /** What was borrowed, or why nothing was. */
  readonly reuse: ReuseReport
}

const maxAnswerTokens = 24

/** A document store: knows the versions of a text, and makes a prompt of one and a question. */
export class Documents {
  readonly #versions: Versions

  constructor(versions: Versions) {
    this.#versions = versions
  }

  get questions(): readonly Question[] {
    return this.#versions.questions
  }

  textOf(name: string): string {
    const { sections, added, versions } = this.#versions
    const version = versions.find((candidate) => candidate.name === name)
    if (!version) throw new Error(`no version ${name}`)
    const text = version.sections.map((section) => sections[section] ?? added[section]).join('\n\n')
    return Object.entries(version.replace).reduce((edited, [find, put]) => edited.replace(find, put), text)
  }

  promptOf(model: LlamaModel, { version, question }: Question): Int32Array {
    const content = `${this.#versions.instruction}\n\n${this.textOf(version)}\n\n${question}`
    return encodeChat(model, [{ role: 'user', content }])
  }
}

export async function readDocuments(): Promise<Documents> {
  return new Documents(JSON.parse(await readFile(new URL('versions.json', import.meta.url), 'utf8')))
}

/** Who shares KV: here, all that ask about these rules. */
export function scopeOf(model: LlamaModel, policy: SemShareKv): Scope {
  const { model: fingerprint, type } = model.profile.format!
  return { tenant: 'lantern-street', group: 'house-rules', model: fingerprint, layout: type, policy: policy.name }
}

/** Reads the prompts of a batch together and answers them together; a prompt that borrowed nothing becomes a donor. */
export async function answerBatch(
  model: LlamaModel,
  policy: SemShareKv,
  documents: Documents,
  questions: readonly Question[],
): Promise<Answer[]> {
  const scope = scopeOf(model, policy)
  const sequences = questions.map(() => model.createSequence({ policy, scope }))
  try {
    const prompts = questions.map((question) => documents.promptOf(model, question))
    const logits = await model.prefill(sequences.map((sequence, at) => sequence.request(prompts[at])))
    const texts = await writeAnswers(model, sequences, logits)
    for (const sequence of sequences) {
      await sequence.publish()
      // Where the guard asked for it: computes the prompt in full and tells the policy how far off it was.
      await sequence.audit()
    }
    return questions.map((question, at) => {
      const reuse = sequences[at].report().reuse
      if (!reuse) throw new Error('the policy was put aside')
      return { ...question, promptTokens: prompts[at].length, text: texts[at], reuse }
    })
  } finally {
    for (const sequence of sequences) await sequence.dispose()
  }
}

/** Greedy; one pass over the weights serves all that have not ended. */
async function writeAnswers(model: LlamaModel, sequences: Sequence[], first: Float32Array[]): Promise<string[]> {
  const ends = model.tokenizer!.eosIds
  const written: number[][] = sequences.map(() => [])
  let open = sequences.map((sequence, at) => ({ at, sequence, token: indexOfMax(first[at]) }))
  for (let count = 0; count < maxAnswerTokens; count++) {
    open = open.filter(({ token }) => !ends.includes(token))
    if (open.length === 0) break
    for (const { at, token } of open) written[at].push(token)
    const logits = await model.decode(open.map(({ sequence, token }) => sequence.step(token)))
    open = open.map((one, i) => ({ ...one, token: indexOfMax(logits[i]) }))
  }
  return written.map((tokens) => model.tokenizer!.decode(tokens).trim())
}

function indexOfMax(values: Float32Array): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i
  return best
}

function describe({ version, question, promptTokens, text, reuse }: Answer): string {
  const saved = `${((1 - reuse.recomputedShare) * 100).toFixed(0)} % of the prefill saved`
  return `${version}: ${question}\n  ${text}\n  ${promptTokens} tokens, ${saved}: ${reuse.reason}`
}

function describeCounts({
  asked,
  offered,
  exact,
  declined,
  givenUp,
  audits,
  badAudits,
  openBreakers,
}: ReuseCounts): string {
  const guard = `${asked} asked, ${offered} offered (${exact} exact), ${declined} declined, ${givenUp} given up`
  return `guard: ${guard}; ${audits} audits, ${badAudits} bad; breakers open: ${openBreakers}`
}

async function main(): Promise<void> {
  const donors = await donorLibrary({ store: hostDonors({ budgetBytes: 256e6 }) })
  await using model = await loadLlama({ model: modelPath, contextTokens: 2048, donors })
  const policy = semShareKv({ donors, fidelity: 'balanced' })
  const documents = await readDocuments()
  const [first, ...others] = documents.questions
  for (const batch of [[first], others]) {
    for (const answer of await answerBatch(model, policy, documents, batch)) console.log(describe(answer))
  }
  console.log(describeCounts(policy.reuseCounts()))
}

if (import.meta.filename === process.argv[1]) await main()
