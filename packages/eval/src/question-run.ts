import type { LlamaModel, SelectedView } from '@kvasir/llama'
import { type CaseHooks, type CaseOptions, type CaseResult, keyOf, observedBy, tokenizerOf } from './case-run.ts'
import { decodeEntrants, type Entrant, enterArm } from './entrants.ts'
import type { QuestionCase } from './eval-case.ts'
import { memoryOf } from './memory-fields.ts'
import { compareLogits, distributionOf, mean } from './metrics.ts'
import type { Arm } from './policy-spec.ts'
import { questionTokens, type TurnTokens } from './question-tokens.ts'
import { RecallMeter, selectedShare } from './recall.ts'
import { type Asked, writeReplies } from './replies.ts'
import { scoreReply } from './scoring.ts'

/** One question as a contender answered it. */
interface Answer {
  /** Mean over the answer's tokens, the right ones being fed. */
  readonly nllNats: number
  readonly klNats: number
  /** Each of the answer's tokens is the arg-max. */
  readonly exact: boolean
  readonly reply: string
  readonly score: number
}

/** The full cache, or an arm: a sequence that reads the questions and the right answers. */
interface Contender extends Asked {
  readonly answers: Answer[]
  readonly recall: RecallMeter
  /** Share of the needle's rows that were selected, for each layer of each step that predicts the first answer. */
  readonly hits: number[]
  /** Logits that follow the last token fed. */
  logits: Float32Array
}

/**
 * One dense prefill; then the full cache and all arms read the rest in lockstep, each in a fork of it. At each question a
 * fork of each writes a reply of its own; the contenders themselves are fed the right answer.
 */
export async function runQuestionCase(
  model: LlamaModel,
  testCase: QuestionCase,
  arms: readonly Arm[],
  { onStep, signal }: CaseHooks = {},
  { recallEvery = 16, tiered }: CaseOptions = {},
): Promise<CaseResult[]> {
  const options = signal ? { signal } : {}
  const { chatTemplate, config } = model
  const tokenizer = tokenizerOf(model)
  const { prompt, turns, needleRows } = questionTokens(testCase, { tokenizer, chatTemplate })
  const maxNew = (turn: number) => testCase.questions[turn].maxNewTokens
  const numSteps = turns.reduce((sum, { forced, gold }, i) => sum + forced.length + gold.length + maxNew(i), 0)
  let step = 0
  const tick = () => onStep?.(step++, numSteps)
  const contenders: Contender[] = []
  await using full = model.createSequence({ observe: observedBy(arms) })
  try {
    tick()
    const logits = await full.prefill(prompt, options)
    const begin = (entrant: Entrant) =>
      contenders.push({ ...entrant, answers: [], recall: new RecallMeter(config), hits: [], logits })
    begin({ model, sequence: full, movedBytes: null })
    for (const arm of arms) begin(await enterArm(arm, { model, full, tokens: prompt }, tiered, options))
    const feed = async (token: number, watched: boolean, needles: readonly number[]) => {
      const watch = ({ recall, hits }: Contender) => ({
        onSelected(view: SelectedView) {
          if (recallEvery > 0) recall.add(view)
          if (needles.length > 0) hits.push(selectedShare(view, needles))
        },
      })
      const steps = contenders.map((entrant) => ({ entrant, token, ...(watched && watch(entrant)) }))
      const fed = await decodeEntrants(steps, options)
      contenders.forEach((contender, i) => {
        contender.logits = fed[i]
      })
      tick()
    }
    for (const [turn, tokens] of turns.entries()) {
      const needles = turn === 0 ? needleRows : []
      const watches = recallEvery > 0 || needles.length > 0
      for (const [i, token] of tokens.forced.entries()) {
        await feed(token, watches && i === tokens.forced.length - 1, needles)
      }
      const writing = { tokenizer, maxNewTokens: maxNew(turn), onToken: tick, ...options }
      const replies = await writeReplies(contenders, writing)
      const predictions = await readAnswer(contenders, tokens, turn + 1 < turns.length, (token, predicts) =>
        feed(token, watches && predicts, needles),
      )
      const { answers } = testCase.questions[turn]
      contenders.forEach((contender, i) => {
        const score = scoreReply(testCase.rule, replies[i], answers)
        contender.answers.push({ ...predictions[i], reply: replies[i], score })
      })
    }
    const [reference, ...others] = contenders
    return others.map((contender, i) => ({
      ...keyOf(testCase, arms[i]),
      ...testCase.fields,
      promptTokens: prompt.length,
      ...fieldsOf(testCase, contender.answers, reference.answers),
      ...(contender.hits.length > 0 && { needleHit: mean(contender.hits) }),
      ...(contender.recall.fields() ?? {}),
      ...memoryOf(contender.sequence.report(), config, contender.movedBytes),
    }))
  } finally {
    for (const { sequence } of contenders) await sequence.dispose()
  }
}

/** Feeds the right answer and scores how each contender foresaw it; the last token only if the text goes on. */
async function readAnswer(
  contenders: readonly Contender[],
  { gold }: TurnTokens,
  goesOn: boolean,
  feed: (token: number, predicts: boolean) => Promise<void>,
): Promise<Pick<Answer, 'nllNats' | 'klNats' | 'exact'>[]> {
  const seen = contenders.map(() => ({ nll: [] as number[], kl: [] as number[], exact: true }))
  for (const [at, token] of gold.entries()) {
    const reference = distributionOf(contenders[0].logits)
    for (const [i, { logits }] of contenders.entries()) {
      const { nllNats, klNats, best } = compareLogits(reference, logits, token)
      seen[i].nll.push(nllNats)
      seen[i].kl.push(klNats)
      seen[i].exact &&= best === token
    }
    const predicts = at + 1 < gold.length
    if (predicts || goesOn) await feed(token, predicts)
  }
  return seen.map(({ nll, kl, exact }) => ({ nllNats: mean(nll), klNats: mean(kl), exact }))
}

/** Means over the questions; with several also the first and the later ones apart. */
function fieldsOf({ suite }: QuestionCase, answers: readonly Answer[], full: readonly Answer[]) {
  const score = suite === 'niah' || suite === 'turns' ? 'correct' : 'score'
  const meanOf = (some: readonly Answer[], part: (answer: Answer) => number) => mean(some.map(part))
  const scoresOf = (some: readonly Answer[], suffix: string) => ({
    [score + suffix]: meanOf(some, (answer) => answer.score),
    [`exact${suffix}`]: meanOf(some, ({ exact }) => Number(exact)),
    [`goldNll${suffix}Nats`]: meanOf(some, ({ nllNats }) => nllNats),
  })
  const parts = (some: readonly Answer[], suffix: string) => ({
    ...scoresOf(some, suffix),
    ...(some.length > 1 && {
      ...scoresOf(some.slice(0, 1), `First${suffix}`),
      ...scoresOf(some.slice(1), `Later${suffix}`),
    }),
  })
  const replies = answers.map(({ reply }) => reply)
  return {
    ...parts(answers, ''),
    ...parts(full, 'Full'),
    klNats: meanOf(answers, ({ klNats }) => klNats),
    sameReply: mean(replies.map((reply, i) => Number(reply === full[i].reply))),
    reply: replies.length === 1 ? replies[0] : replies,
  }
}
