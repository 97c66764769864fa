import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isFull, labelPolicies, stylePolicies } from './policies.ts'

test('the name alone is the label of a policy without namesakes', () => {
  expect(labelPolicies(['full', 'quest:page=16'])).toEqual(['full', 'quest'])
})

test('namesakes are told apart by as few options as do', () => {
  const policies = ['kv:mode=paper,sink=4', 'kv:mode=own,sink=4,recent=8', 'kv:mode=own,sink=4', 'kv']
  expect(labelPolicies(policies)).toEqual(['kv paper', 'kv own sink=4 recen…', 'kv own sink=4', 'kv'])
})

test('labels are short and unlike each other', () => {
  const name = fc.oneof(fc.string(), fc.constantFrom('window', 'window:sinkTokens=4', `${'w'.repeat(30)}:a=1`))
  fc.assert(
    fc.property(fc.uniqueArray(name, { maxLength: 12 }), (policies) => {
      const labels = labelPolicies(policies)
      expect(new Set(labels).size).toBe(policies.length)
      for (const label of labels) expect([...label].length).toBeLessThanOrEqual(20)
    }),
  )
})

test('yardsticks are dashed and grey, and no two policies share colour and symbol', () => {
  const names = [
    'random',
    'window',
    ...Array.from({ length: 20 }, (_, i) => `policy-${i}`),
    'oracle:jointHeads=true',
    'full',
  ]
  const styles = stylePolicies([...names, 'window'])
  expect(styles.map(({ policy }) => policy).slice(0, 3)).toEqual(['full', 'oracle:jointHeads=true', 'window'])
  expect(styles.at(-1)).toMatchObject({ policy: 'random', isYardstick: true, color: 'var(--yardstick)' })
  expect(styles.filter(({ isYardstick }) => isYardstick)).toHaveLength(3)
  expect(new Set(styles.map(({ color, symbol }) => `${color} ${symbol}`)).size).toBe(names.length)
})

test('the full cache is known by its name, not by what begins like it', () => {
  expect([isFull('full'), isFull('full:x=1'), isFull('fuller')]).toEqual([true, true, false])
})
