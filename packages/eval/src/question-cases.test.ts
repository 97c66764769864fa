import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import type { QuestionCase } from './eval-case.ts'
import { listLongbenchCases } from './longbench-cases.ts'
import { insertNeedles, listNiahCases, listTurnsCases } from './niah-cases.ts'
import { listRulerCases } from './ruler-cases.ts'

/** A data folder with these files, objects as lines of JSON. */
function folderWith(files: Readonly<Record<string, string | readonly object[]>>): string {
  const root = mkdtempSync(join(tmpdir(), 'kvasir-cases-'))
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    const lines = typeof content === 'string' ? content : content.map((line) => `${JSON.stringify(line)}\n`).join('')
    writeFileSync(join(root, name), lines)
  }
  return root
}

const haystack = 'The pond froze. Geese left. Snow came early. '
const record = {
  id: 'one',
  kind: 'fact',
  length: 1024,
  depth: 0.5,
  haystack: 'haystack/own.txt',
  start: 4,
  end: 28,
  inserts: [{ at: 16, text: 'The oar is blue.' }],
  question: 'Which color is the oar?',
  answer_prefix: ' The oar is',
  answers: ['blue'],
}
const multikey = {
  ...record,
  id: 'keys',
  kind: 'multikey',
  depth: null,
  inserts: ['red-ox 12', 'tan-owl 34'].map((pair) => {
    const [key, code] = pair.split(' ')
    return { at: 16, text: `The access code for ${key} is ${code}.` }
  }),
  question: 'What is the access code for tan-owl?',
  answer_prefix: ' The access code for tan-owl is',
  answers: ['34'],
}
const niah = {
  'open/niah/cases.jsonl': [record, { ...record, id: 'two', length: 2048 }, { ...record, id: 'three' }, multikey],
  'open/haystack/own.txt': haystack,
}

test('needles go in with a space each, several at one place in order', () => {
  const inserts = [5, 5, 8].map((at, i) => ({ at, text: `n${i}` }))
  const { text, spans } = insertNeedles('0123456789', { start: 2, end: 9, inserts })
  expect(text).toBe('234n0 n1 567n2 8')
  expect(spans.map(({ start, end }) => text.slice(start, end))).toEqual(['n0', 'n1', 'n2'])
})

test('a needle case has its text, question and answer', () => {
  const { cases, missing } = listNiahCases(folderWith(niah), { lengths: [1024], limit: 1, modes: ['B'] })
  expect(missing).toEqual([])
  expect(cases).toHaveLength(1)
  expect(cases[0]).toMatchObject({
    suite: 'niah',
    id: 'one',
    length: 1024,
    mode: 'B',
    fields: { kind: 'fact', depth: 0.5 },
  })
  const { context, needles, questions } = cases[0] as QuestionCase
  expect(context).toBe(
    'Read the following text carefully. A question about one detail of it follows at the end.\n\npond froze. The oar is blue. Geese left. ',
  )
  expect(context.slice(needles[0].start, needles[0].end)).toBe('The oar is blue.')
  expect(questions).toEqual([
    { text: '\n\nWhich color is the oar?', answerPrefix: ' The oar is', answers: ['blue'], maxNewTokens: 32 },
  ])
})

test('a limit counts each length for itself, and each mode runs all of them', () => {
  const { cases } = listNiahCases(folderWith(niah), { limit: 1, modes: ['A', 'B'] })
  expect(cases.map(({ id, mode }) => `${id} ${mode}`)).toEqual(['one A', 'two A', 'one B', 'two B'])
})

test('the turns ask for every key, the case own one first; the needle is that of its answer', () => {
  const { cases } = listTurnsCases(folderWith(niah), {})
  expect(cases.map(({ id }) => id)).toEqual(['keys'])
  const [{ context, needles, questions }] = cases as QuestionCase[]
  expect(questions.map(({ text, answers }) => [text, ...answers])).toEqual([
    ['\n\nWhat is the access code for tan-owl?', '34'],
    ['\n\nWhat is the access code for red-ox?', '12'],
  ])
  expect(needles.map(({ start, end }) => context.slice(start, end))).toEqual(['The access code for tan-owl is 34.'])
})

test('a needle that no question fits, and a line that is no JSON, are named', () => {
  const odd = { ...multikey, inserts: [{ at: 16, text: 'The code is 5.' }] }
  const root = folderWith({ ...niah, 'open/niah/cases.jsonl': [odd] })
  expect(() => listTurnsCases(root, {})).toThrow(/inserts: expected .*, got "The code is 5\."/)
  const broken = folderWith({ 'niah/cases.jsonl': '{}\n{"id":' })
  expect(() => listNiahCases(broken, {})).toThrow(/cases\.jsonl:2: expected a line of JSON/)
})

test('what is not there is named', () => {
  const root = folderWith(niah)
  rmSync(join(root, 'open/haystack'), { recursive: true })
  expect(listNiahCases(root, {})).toEqual({ cases: [], missing: [join(root, 'haystack/own.txt')] })
  expect(listNiahCases(join(root, 'open/haystack'), {}).missing).toEqual([join(root, 'open/haystack/niah/cases.jsonl')])
  expect(listRulerCases(root, {}).missing).toEqual([join(root, 'ruler')])
  expect(listLongbenchCases(root, {}).missing).toEqual([join(root, 'longbench/mini.jsonl')])
})

const ruler = (id: string, task: string, length: number) => ({
  id,
  task,
  length,
  prompt: 'Some text.\nWhat is it?',
  answer_prefix: ' It is',
  answers: ['x', 'y'],
  max_new_tokens: 30,
})

test('RULER tasks of both folders take turns, so a limit leaves some of each', () => {
  const root = folderWith({
    'open/ruler/1024/vt.jsonl': [ruler('vt-0', 'vt', 1024), ruler('vt-1', 'vt', 1024)],
    'restricted/ruler/1024/niah.jsonl': [ruler('n-0', 'niah', 1024)],
    'open/ruler/512/qa_1.jsonl': [ruler('q-0', 'qa_1', 512)],
    'open/ruler/notes.txt': 'Not a length.',
  })
  const { cases } = listRulerCases(root, { limit: 2 })
  expect(cases.map(({ id }) => id)).toEqual(['q-0', 'vt-0', 'n-0'])
  expect(cases[0]).toMatchObject({ rule: 'any', fields: { task: 'qa_1' }, context: 'Some text.' })
  expect(cases[1]).toMatchObject({
    rule: 'all',
    questions: [{ text: '\nWhat is it?', answerPrefix: ' It is', answers: ['x', 'y'], maxNewTokens: 30 }],
  })
  const one = listRulerCases(join(root, 'restricted'), {})
  expect(one.cases.map(({ id }) => id)).toEqual(['n-0'])
})

test('LongBench cases have no length of their own', () => {
  const records = ['gov_report', 'hotpotqa'].map((task) => ({
    id: task,
    task,
    prompt: 'Text.\n\nQuestion: who?\nAnswer:',
    answers: ['he'],
    metric: 'token_f1',
  }))
  const root = folderWith({ 'longbench/mini.jsonl': records })
  const { cases } = listLongbenchCases(root, { lengths: [2048] })
  expect(cases.map(({ length }) => length)).toEqual([8192, 8192])
  expect(cases).toMatchObject([{ questions: [{ maxNewTokens: 512 }] }, { questions: [{ maxNewTokens: 32 }] }])
})
