import { monitorEventLoopDelay } from 'node:perf_hooks'
import { expect, test } from 'vitest'
import { bundledModel } from '../test-fixtures/engine.ts'
import { generate } from './index.ts'

test.skipIf(bundledModel === null)(
  'the event loop is never held up for long while a prompt is read and answered',
  async () => {
    const { model } = await bundledModel!()
    await using sequence = model.createSequence()
    const prompt = Array.from({ length: 1500 }, (_, i) => 1000 + ((i * 31) % 4000))
    const delay = monitorEventLoopDelay({ resolution: 5 })
    delay.enable()
    let tokens = 0
    for await (const _ of generate(model, sequence, prompt, { maxTokens: 100, sampler: { temperature: 1, seed: 3 } }))
      tokens++
    delay.disable()
    expect(tokens).toBeGreaterThan(0)
    expect(delay.percentile(99) / 1e6).toBeLessThanOrEqual(20)
  },
)
