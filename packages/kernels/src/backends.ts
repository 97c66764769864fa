import { availableParallelism } from 'node:os'
import { checkInteger, checkKeys, checkOneOf } from '@kvasir/core'
import { addonPath, loadAddon } from '@kvasir/native'
import type { NativeBinding } from './cpu/binding.ts'
import { CpuKernels } from './cpu/cpu-kernels.ts'
import { BackendError } from './errors.ts'
import type { Kernels } from './kernels.ts'
import { ReferenceKernels } from './reference/reference-kernels.ts'

export interface LoadOptions {
  /**
   * auto: the best that is there; cpu: compiled kernels; reference: plain TypeScript.
   * @default the environment variable KVASIR_BACKEND, else 'auto'
   */
  readonly backend?: 'auto' | 'reference' | 'cpu'
  /**
   * Instruction set of the cpu backend: scalar, avx2, avx512, vnni or neon.
   * @default the environment variable KVASIR_ISA, else the best that the machine runs
   */
  readonly isa?: string
  /**
   * Threads that ops of the cpu backend run on, >= 1.
   * @default the environment variable KVASIR_THREADS, else the physical cores that the process may use
   */
  readonly numThreads?: number
}

export interface Backend {
  readonly backend: 'cpu' | 'reference'
  /** Instruction sets that it can use here, worst first; none if it is missing. */
  readonly isas: readonly string[]
  /** Why it is missing, and what mends that. */
  readonly missing?: string
}

/** All backends, best first. */
export function availableBackends(): readonly Backend[] {
  return [cpuBackend(), { backend: 'reference', isas: ['js'] }]
}

/**
 * Kernels of one backend. If none is named and the compiled ones are missing, says so once on stderr and takes the reference.
 * @throws {OptionError} for unknown options or values
 * @throws {BackendError} if the backend or instruction set that was named is not there
 */
export async function loadKernels(options: LoadOptions = {}): Promise<Kernels> {
  const { backend, isa, numThreads } = resolveLoadOptions(options)
  if (backend === 'reference') return new ReferenceKernels()
  const cpu = cpuBackend()
  if (cpu.missing !== undefined) {
    if (backend === 'cpu') throw new BackendError({ parameter: 'backend', expected: 'cpu', got: cpu.missing })
    warnOnce(`kvasir: compiled kernels are missing, plain TypeScript is used instead (slow). ${cpu.missing}`)
    return new ReferenceKernels()
  }
  const binding = loadAddon() as NativeBinding
  const best = cpu.isas.at(-1) as string
  if (isa !== undefined && !cpu.isas.includes(isa)) {
    throw new BackendError({ parameter: 'isa', expected: `one of ${cpu.isas.join(', ')} on this machine`, got: isa })
  }
  const cores = Math.min(binding.machine().physicalCores, availableParallelism())
  return new CpuKernels(binding, isa ?? best, numThreads ?? Math.max(1, cores))
}

function resolveLoadOptions(options: LoadOptions) {
  checkKeys('loadKernels', options, ['backend', 'isa', 'numThreads'])
  const { KVASIR_BACKEND, KVASIR_ISA, KVASIR_THREADS } = process.env
  const [backendName, backend] = options.backend ? ['backend', options.backend] : ['KVASIR_BACKEND', KVASIR_BACKEND]
  const [isaName, isa] = options.isa ? ['isa', options.isa] : ['KVASIR_ISA', KVASIR_ISA]
  const fromEnvironment = KVASIR_THREADS ? Number(KVASIR_THREADS) : undefined
  const numThreads = options.numThreads ?? fromEnvironment
  return {
    backend: checkOneOf(backendName, backend || 'auto', ['auto', 'reference', 'cpu'] as const),
    isa: isa ? checkOneOf(isaName, isa, ['scalar', 'avx2', 'avx512', 'vnni', 'neon']) : undefined,
    numThreads: numThreads === undefined ? undefined : checkInteger('numThreads', numThreads, 1, 256),
  }
}

function cpuBackend(): Backend {
  try {
    return { backend: 'cpu', isas: (loadAddon() as NativeBinding).machine().isas }
  } catch (error) {
    const reason = String((error as Error).message).split('\n')[0]
    return {
      backend: 'cpu',
      isas: [],
      missing: `The addon ${addonPath} does not load (${reason}). Remedy: run "pnpm --filter @kvasir/native run build:native".`,
    }
  }
}

let warned = false

function warnOnce(message: string): void {
  if (!warned) console.warn(message)
  warned = true
}
