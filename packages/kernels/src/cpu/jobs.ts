import { BackendError, KernelError, TierError } from '../errors.ts'
import { AbortWatch } from './abort-watch.ts'
import type { Handle, NativeBinding, NativeFailure } from './binding.ts'

/** What a native failure is thrown as. */
export function errorOf({ kind, ...detail }: NativeFailure): BackendError | KernelError | TierError {
  if (kind === 'backend') return new BackendError(detail)
  return kind === 'tier' ? new TierError(detail) : new KernelError(detail)
}

interface PendingJob {
  readonly settled: (failure: NativeFailure | undefined) => void
  /** Holds what the job reads and writes: the addon has raw pointers only. */
  readonly start: (job: number) => void
}

/** Jobs of one runtime that have not ended, as promises. */
export class Jobs {
  readonly runtime: Handle
  private readonly binding: NativeBinding
  // The addon holds the callback, which must not hold the kernels: forgotten ones are collected.
  private readonly pending: Map<number, PendingJob>
  private readonly running = new Set<Promise<void>>()
  private readonly aborts = new AbortWatch()
  private last = 0

  constructor(binding: NativeBinding, isa: string, numThreads: number, gpuLibrary: string) {
    const pending = new Map<number, PendingJob>()
    this.binding = binding
    this.pending = pending
    this.runtime = binding.openRuntime(isa, numThreads, gpuLibrary, (job, failure) => {
      const ended = pending.get(job)
      pending.delete(job)
      ended?.settled(failure)
    })
  }

  /**
   * Starts a job in the call. Everything that `start` closes over lives until the job has ended. An aborted job rejects
   * with the signal's reason once it has stopped: then nothing writes to its buffers any more.
   */
  run(start: (job: number) => void, signal?: AbortSignal): Promise<void> {
    const done = this.settle(start, signal)
    this.running.add(done)
    const forget = () => this.running.delete(done)
    done.then(forget, forget)
    return done
  }

  /** Resolves once no job is left. */
  async idle(): Promise<void> {
    while (this.running.size > 0) await Promise.allSettled(this.running)
  }

  private async settle(start: (job: number) => void, signal: AbortSignal | undefined): Promise<void> {
    const job = this.nextNumber()
    start(job)
    let forget: (() => void) | undefined
    const failure = await new Promise<NativeFailure | undefined>((settled) => {
      this.pending.set(job, { settled, start })
      if (signal === undefined) return
      forget = this.aborts.add(signal, () => {
        if (!this.binding.cancelJob(this.runtime, job)) return
        this.pending.delete(job)
        settled(undefined)
      })
    })
    forget?.()
    signal?.throwIfAborted()
    if (failure !== undefined) throw errorOf(failure)
  }

  private nextNumber(): number {
    do this.last = (this.last + 1) % 2 ** 32
    while (this.pending.has(this.last))
    return this.last
  }
}
