// The same decisions and tokens on a GPU, in emulation if need be, as on the CPU.
import { assertSameBits, memoryDonors } from '@kvasir/core/testing'
import { availableBackends, type Kernels, loadKernels } from '@kvasir/kernels'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type SemShareKvOptions, semShareKv } from '../semshare-kv.ts'
import { document, easy, randomWorld, shifted, teach } from '../testing/random-world.ts'
import { scope } from '../testing/world.ts'

const isHere = availableBackends().some(({ backend, missing }) => backend === 'cuda' && missing === undefined)

describe.skipIf(!isHere)('on a GPU', { timeout: 120_000 }, () => {
  let cpu: Kernels
  let gpu: Kernels
  beforeAll(async () => {
    cpu = await loadKernels({ backend: 'cpu' })
    gpu = await loadKernels({ backend: 'cuda' })
  })
  afterAll(() => Promise.all([cpu.dispose(), gpu.dispose()]))

  const modes: readonly (readonly [string, object])[] = [
    ['kvasir', easy],
    ['kvasir, rows by deviation', { ...easy, deviationShare: 0.3, probeLayers: 1 }],
    ['paper', { mode: 'paper', minPromptTokens: 8, minSimilarity: 0 }],
  ]

  test.each(modes)('a moved prompt is decided on and answered as on the CPU: %s', async (_, options) => {
    const outcomes = []
    for (const kernels of [cpu, gpu]) {
      await using world = await randomWorld(memoryDonors(), undefined, kernels)
      await teach(world)
      const policy = semShareKv({ donors: world.library, ...options } as SemShareKvOptions)
      await using sequence = world.model.createSequence({ policy, scope })
      const tokens: number[] = []
      for (let logits = await sequence.prefill(shifted); tokens.length < 6; ) {
        tokens.push(logits.indexOf(Math.max(...logits)))
        logits = await sequence.decode(tokens.at(-1) as number)
      }
      outcomes.push({ tokens, reuse: { ...sequence.report().reuse, donors: 'of any name' } })
    }
    expect(outcomes[1]).toEqual(outcomes[0])
    expect(outcomes[1]?.reuse).toMatchObject({ accepted: true })
  })

  test('the same prompt borrows nearly all rows and has the bits of a full prefill', async () => {
    await using world = await randomWorld(memoryDonors(), undefined, gpu)
    await teach(world)
    {
      await using sequence = world.open()
      assertSameBits(await sequence.prefill(document), await world.full(document))
      const { recomputedShare } = sequence.report().reuse as { recomputedShare: number }
      expect(recomputedShare).toBeLessThan(0.05)
    }
    expect(world.openDonors()).toBe(0)
  })
})
