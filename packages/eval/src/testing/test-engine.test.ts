import { probePolicy } from '@kvasir/core/testing'
import { expect, test } from 'vitest'
import { loadTestEngine } from './test-engine.ts'

test('a policy that is set aside does not go unseen', async () => {
  const { model, open } = await loadTestEngine()
  const failing = probePolicy({ slots: ['append'] }, () => ({
    append() {
      throw new Error('no more')
    },
  }))
  await using sequence = open(failing)
  await sequence.prefill([1, 2, 3])
  await expect(sequence.decode(4)).rejects.toThrow('set aside in append: Error: no more')
  await model.dispose()
})
