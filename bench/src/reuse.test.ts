import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { expect, test } from 'vitest'
import { runBench } from './bench.ts'
import { reusePairs, unrelatedPair } from './reuse-prompts.ts'

const text = Array.from({ length: 60 }, (_, i) => `Boat ${i} takes ${i * i} barrels over the sound. `).join('')
const chars = {
  encode: (some: string) => Int32Array.from(some, (char) => char.codePointAt(0) as number),
  decode: (ids: Int32Array) => String.fromCodePoint(...ids),
}

test('prompts of a pair share what their name says', () => {
  const pairs = reusePairs(text, 600, chars)
  const [question, shift16, shift64, reorder, , rewritten] = pairs.map(({ pair }) => pair)
  const whole = text.slice(0, 600)
  expect(question.donor.content).not.toBe(question.target.content)
  expect(question.target.content.startsWith(whole)).toBe(true)
  expect(shift64.target.content.length - shift16.target.content.length).toBe(48)
  expect(shift16.target.content.endsWith(whole)).toBe(true)
  expect([...reorder.target.content].sort()).toEqual([...reorder.donor.content].sort())
  const own = rewritten.donor.content.match(/Boat [^.]+\. /g) as string[]
  const kept = own.filter((sentence) => rewritten.target.content.includes(sentence))
  expect(own.length - kept.length).toBe(Math.floor(own.length / 5))
})

test('the unrelated prompt has the same words in no run', () => {
  const { donor, target } = unrelatedPair(text, 500, chars)
  const [, scattered] = target.content.split('sentences.\n\n')
  expect([...scattered].sort()).toEqual([...text.slice(0, 500)].sort())
  for (let at = 0; at + 12 < scattered.length; at++) {
    expect(donor.content).not.toContain(scattered.slice(at, at + 12))
  }
})

test('every pair is timed beside the full prefill, and the unrelated one is declined', {
  timeout: 120_000,
}, async () => {
  const { rows } = await runBench({ what: ['reuse'], model: modelPath, text, lengths: [420], pairs: 1 })
  const reuse = rows.filter(({ name }) => name.startsWith('reuse'))
  expect(reuse).toHaveLength(8)
  for (const { ours, unit } of reuse) expect([ours > 0, unit]).toEqual([true, expect.stringMatching(/^ms$|%/)])
  expect(reuse[0]).toMatchObject({ name: 'reuse new question, balanced', against: 'full prefill', pairs: 1 })
  expect(reuse[0].note).toBeUndefined()
  expect(reuse.at(-2)?.note).toBeUndefined()
})
