import { monitorEventLoopDelay } from 'node:perf_hooks'
import { expect, test } from 'vitest'
import { bundledModel } from '../test-fixtures/engine.ts'
import { generate } from './index.ts'

const intervalMs = 5

// Other tests share the cores: a stall of the machine is not one of the engine, so it may try again.
test.skipIf(bundledModel === null)(
  'the event loop is never held up for long while a prompt is read and answered',
  { retry: 3 },
  async () => {
    const { model } = await bundledModel!()
    await using sequence = model.createSequence()
    const prompt = Array.from({ length: 1500 }, (_, i) => 1000 + ((i * 31) % 4000))
    const delay = monitorEventLoopDelay({ resolution: intervalMs })
    delay.enable()
    let tokens = 0
    for await (const _ of generate(model, sequence, prompt, { maxTokens: 100, sampler: { temperature: 1, seed: 3 } }))
      tokens++
    delay.disable()
    expect(tokens).toBeGreaterThan(0)
    // The histogram holds whole intervals between two ticks of its timer, not what came on top.
    expect(delay.percentile(99) / 1e6 - intervalMs).toBeLessThanOrEqual(20)
  },
)
