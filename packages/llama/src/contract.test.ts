import type { QuarantineEvent } from '@kvasir/core'
import { type EngineUnderTest, engineSuite, memoryDonors, type SequenceUnderTest } from '@kvasir/core/testing'
import { availableBackends, loadKernels } from '@kvasir/kernels'
import { describe, test } from 'vitest'
import { fixturePath } from '../test-fixtures/fixtures.ts'
import { loadLlama, type Sequence } from './index.ts'

const prompt = Int32Array.from({ length: 48 }, (_, i) => (i * 37 + 5) % 512)
const decoded = Int32Array.of(7, 300, 12, 499, 55)

const backends = availableBackends().flatMap(({ backend, missing }) => (missing === undefined ? [backend] : []))

describe.each(backends)('the engine contract, on the %s kernels', (backend) => {
  engineSuite(() => makeEngine(backend), { describe, test, prompt, decoded })
})

async function makeEngine(backend: (typeof backends)[number]): Promise<EngineUnderTest> {
  const listeners = new Map<string, (event: QuarantineEvent) => void>()
  const model = await loadLlama({
    model: fixturePath('gguf/llama-Q4_1.gguf'),
    kernels: await loadKernels({ backend }),
    kvCapacityTokens: 16_384,
    donors: memoryDonors(),
    onQuarantine: (event) => listeners.get(event.sequence)?.(event),
  })
  const adapt = (sequence: Sequence, onQuarantine?: (event: QuarantineEvent) => void): SequenceUnderTest => {
    if (onQuarantine) listeners.set(sequence.id, onQuarantine)
    return {
      get numTokens() {
        return sequence.numTokens
      },
      prefill: (tokens, options) => sequence.prefill(tokens, options),
      decode: (token, options) => sequence.decode(token, options),
      fork: async () => adapt(await sequence.fork(), onQuarantine),
      rewind: (numTokens) => sequence.rewind(numTokens),
      publish: () => sequence.publish(),
      [Symbol.asyncDispose]: () => sequence.dispose(),
    }
  }
  return {
    profile: model.profile,
    createSequence: ({ onQuarantine, ...options }) => adapt(model.createSequence(options), onQuarantine),
  }
}
