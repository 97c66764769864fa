// A process of its own: its peak memory is that of our engine alone.
import { loadKernels } from '@kvasir/kernels'
import { loadLlama } from '@kvasir/llama'
import { peakRssBytes } from './process-memory.ts'

export interface PeakMemoryTask {
  /** GGUF file. */
  readonly model: string
  readonly threads: number
  readonly tokens: readonly number[]
}

export interface PeakMemory {
  readonly maxRssBytes: number
  readonly kvBytes: number
}

process.once('message', async (message) => {
  const { model: path, threads, tokens } = message as PeakMemoryTask
  const kernels = await loadKernels({ numThreads: threads })
  const model = await loadLlama({ model: path, kernels, contextTokens: tokens.length + 8 })
  const sequence = model.createSequence()
  await sequence.prefill(tokens)
  for (let i = 0; i < 8; i++) await sequence.decode(tokens[i])
  const outcome: PeakMemory = {
    maxRssBytes: peakRssBytes(),
    kvBytes: sequence.report().kvBytes,
  }
  await model.dispose()
  await kernels.dispose()
  process.send?.(outcome, () => process.disconnect())
})
