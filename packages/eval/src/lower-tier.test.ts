import { mkdtempSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OptionError } from '@kvasir/core'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { expect, test } from 'vitest'
import type { CaseResult } from './case-run.ts'
import type { QuestionCase } from './eval-case.ts'
import { type EvaluateOptions, evaluate } from './evaluate.ts'
import { parsePolicySpec, planArms } from './policy-spec.ts'

const arms = planArms(['window', 'sentence-kv:rerankSteps=4,driftLimit=-1'].map(parsePolicySpec), [40])
const text = 'In Ulm all doors are green. The well is deep, and the road is long. Nobody came, and nobody went away. '
const question: QuestionCase = {
  suite: 'niah',
  id: 'Ulm',
  length: 256,
  mode: 'A',
  rule: 'all',
  fields: { kind: 'fact' },
  context: text.repeat(6),
  needles: [],
  questions: [{ text: '\nWhich color?', answerPrefix: ' All doors are', answers: ['green'], maxNewTokens: 3 }],
}
const cases = [question, { ...question, id: 'Bonn', mode: 'B' as const }]
const newFolder = () => mkdtempSync(join(tmpdir(), 'kvasir-tier-'))
// Room for what a policy reads, and not for the prompt.
const hotBytes = 2_500_000

async function run(options: Partial<EvaluateOptions> = {}): Promise<CaseResult[]> {
  const results: CaseResult[] = []
  const execArgv = ['--conditions=@kvasir/source', '--import', 'tsx']
  await evaluate({ cases, arms, model: modelPath, execArgv, ...options, onResults: (some) => results.push(...some) })
  return results.sort((a, b) => (a.id + a.policy < b.id + b.policy ? -1 : 1))
}

const withoutMoves = ({ movedBytesPerToken: _, ...rest }: CaseResult) => rest
const movesOf = (results: readonly CaseResult[]) => results.map(({ movedBytesPerToken }) => movedBytesPerToken)

test('rows in a lower tier give the same figures, and what each policy moved', { timeout: 120_000 }, async () => {
  const plain = await run()
  expect(movesOf(plain)).toEqual([null, null, null, null])
  const tiered = await run({ kvTier: { kind: 'host', hotBytes } })
  expect(tiered.map(withoutMoves)).toEqual(plain.map(withoutMoves))
  // The last rows of a prompt are hot, and with them a window.
  const [sentences, window] = movesOf(tiered) as number[]
  expect(sentences).toBeGreaterThan(1000)
  expect(window).toBeLessThan(sentences)
  expect(tiered[0].reusedStepsShare).toBeGreaterThan(0.5)

  const alone = await run({ kvTier: { kind: 'host', hotBytes }, arms: arms.slice(1), recallEvery: 0 })
  for (const moved of movesOf(alone)) expect(moved).toBeGreaterThan(1000)
})

test('workers have a file each, which are gone at the end', { timeout: 120_000 }, async () => {
  const folder = newFolder()
  const seen: string[][] = []
  const progress: number[] = []
  const results = await run({
    kvTier: { kind: 'file', hotBytes, folder },
    numWorkers: 2,
    onProgress: ({ done }) => {
      progress.push(done)
      seen.push(readdirSync(folder, { recursive: true }) as string[])
    },
  })
  for (const moved of movesOf(results)) expect(moved).toBeGreaterThan(1000)
  expect(seen.some((paths) => paths.filter((path) => /kv-\d+$/.test(path)).length === 2)).toBe(true)
  expect(readdirSync(folder)).toEqual([])
  expect(progress.at(-1)).toBe(2)
})

test('an aborted run leaves no file', { timeout: 60_000 }, async () => {
  const folder = newFolder()
  const controller = new AbortController()
  const onProgress = () => controller.abort(new Error('enough'))
  const kvTier = { kind: 'file', hotBytes, folder } as const
  await expect(run({ kvTier, numWorkers: 2, onProgress, signal: controller.signal })).rejects.toThrow('enough')
  expect(readdirSync(folder)).toEqual([])
})

test('fewer hot bytes than one slot a layer are refused', { timeout: 60_000 }, async () => {
  await expect(run({ kvTier: { kind: 'host', hotBytes: 10 } })).rejects.toThrow(/hotBytes: expected at least \d+/)
})

test('no hot bytes and a folder that is not there are refused', async () => {
  await expect(run({ kvTier: { kind: 'host', hotBytes: 0 } })).rejects.toThrow(OptionError)
  await expect(run({ kvTier: { kind: 'file', hotBytes, folder: '/nowhere/at/all' } })).rejects.toThrow('ENOENT')
})
