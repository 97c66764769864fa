// A process of its own: its peak memory is that of our engine alone.
import { existsSync, readFileSync } from 'node:fs'
import { loadKernels } from '@kvasir/kernels'
import { loadLlama } from '@kvasir/llama'

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

/** Linux counts the parent's memory in a child's ru_maxrss, as it was at the fork; VmHWM starts afresh with the program. */
function peakRssBytes(): number {
  const status = '/proc/self/status'
  const kib = existsSync(status) ? /VmHWM:\s+(\d+) kB/.exec(readFileSync(status, 'utf8'))?.[1] : undefined
  return kib === undefined ? process.resourceUsage().maxRSS * 1024 : Number(kib) * 1024
}
