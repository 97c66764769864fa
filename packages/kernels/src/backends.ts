import { availableParallelism } from 'node:os'
import { checkInteger, checkKeys, checkOneOf } from '@kvasir/core'
import { addonPath, loadAddon } from '@kvasir/native'
import type { NativeBinding } from './cpu/binding.ts'
import { CpuKernels } from './cpu/cpu-kernels.ts'
import { BackendError } from './errors.ts'
import { findGpuLibrary } from './gpu-library.ts'
import type { Kernels } from './kernels.ts'
import { ReferenceKernels } from './reference/reference-kernels.ts'

export interface LoadOptions {
  /**
   * auto: cuda where its platform package is installed and finds a device, else cpu, else reference; cuda: compiled
   * kernels on a GPU; cpu: compiled kernels; reference: plain TypeScript.
   * @default the environment variable KVASIR_BACKEND, else 'auto'
   */
  readonly backend?: 'auto' | 'reference' | 'cpu' | 'cuda'
  /**
   * Instruction set of the cpu backend: scalar, avx2, avx512, vnni or neon.
   * @default the environment variable KVASIR_ISA, else the best that the machine runs
   */
  readonly isa?: string
  /**
   * Threads that ops of the cpu backend run on, >= 1; beside a GPU, of what stays on the host.
   * @default the environment variable KVASIR_THREADS, else the physical cores that the process may use
   */
  readonly numThreads?: number
  /**
   * File of the GPU library for backend cuda; auto does not look at it.
   * @default the environment variable KVASIR_GPU_LIBRARY, else what the package @kvasir/kernels-cuda-linux-x64 holds
   */
  readonly gpuLibrary?: string
}

export interface Backend {
  readonly backend: 'cuda' | 'cpu' | 'reference'
  /** Instruction sets that it can use here, worst first; none if it is missing. */
  readonly isas: readonly string[]
  /** Why it is missing, and what mends that. */
  readonly missing?: string
}

/** All backends, best first. */
export function availableBackends(): readonly Backend[] {
  return [cudaBackend(process.env.KVASIR_GPU_LIBRARY), cpuBackend(), { backend: 'reference', isas: ['js'] }]
}

/**
 * Kernels of one backend. If none is named and the compiled ones are missing, says so once on stderr and takes the reference.
 * @throws {OptionError} for unknown options or values
 * @throws {BackendError} if the backend or instruction set that was named is not there
 */
export async function loadKernels(options: LoadOptions = {}): Promise<Kernels> {
  const { backend, isa, numThreads, gpuLibrary } = resolveLoadOptions(options)
  if (backend === 'reference') return new ReferenceKernels()
  const cpu = cpuBackend()
  if (cpu.missing !== undefined) {
    if (backend !== 'auto') throw missingBackend(backend, cpu.missing)
    warnOnce(`kvasir: compiled kernels are missing, plain TypeScript is used instead (slow). ${cpu.missing}`)
    return new ReferenceKernels()
  }
  if (backend === 'cuda' || (backend === 'auto' && isa === undefined && hasInstalledGpu())) {
    const cuda = cudaBackend(backend === 'cuda' ? gpuLibrary : undefined)
    if (cuda.missing !== undefined || cuda.library === undefined) throw missingBackend('cuda', cuda.missing)
    const target = { backend: 'cuda', isa: cuda.isas[0] as string, gpuLibrary: cuda.library } as const
    return compiledKernels(cpu, target, undefined, numThreads)
  }
  return compiledKernels(cpu, { backend: 'cpu', gpuLibrary: '' }, isa, numThreads)
}

/** @param hostIsa the best, if none is named */
function compiledKernels(
  cpu: Backend,
  target: { backend: 'cpu' | 'cuda'; isa?: string; gpuLibrary: string },
  hostIsa = cpu.isas.at(-1) as string,
  numThreads?: number,
): Kernels {
  if (!cpu.isas.includes(hostIsa)) {
    throw new BackendError({
      parameter: 'isa',
      expected: `one of ${cpu.isas.join(', ')} on this machine`,
      got: hostIsa,
    })
  }
  const binding = loadAddon() as NativeBinding
  const cores = Math.min(binding.machine().physicalCores, availableParallelism())
  return new CpuKernels(binding, { isa: hostIsa, ...target, hostIsa, numThreads: numThreads ?? Math.max(1, cores) })
}

function missingBackend(backend: 'cpu' | 'cuda', reason: string | undefined): BackendError {
  return new BackendError({ parameter: 'backend', expected: backend, got: reason })
}

function resolveLoadOptions(options: LoadOptions) {
  checkKeys('loadKernels', options, ['backend', 'isa', 'numThreads', 'gpuLibrary'])
  const { KVASIR_BACKEND, KVASIR_ISA, KVASIR_THREADS, KVASIR_GPU_LIBRARY } = process.env
  const [backendName, backend] = options.backend ? ['backend', options.backend] : ['KVASIR_BACKEND', KVASIR_BACKEND]
  const [isaName, isa] = options.isa ? ['isa', options.isa] : ['KVASIR_ISA', KVASIR_ISA]
  const fromEnvironment = KVASIR_THREADS ? Number(KVASIR_THREADS) : undefined
  const numThreads = options.numThreads ?? fromEnvironment
  const isas = ['scalar', 'avx2', 'avx512', 'vnni', 'neon']
  return {
    backend: checkOneOf(backendName, backend || 'auto', ['auto', 'reference', 'cpu', 'cuda'] as const),
    isa: isa ? checkOneOf(isaName, isa, isas) : undefined,
    numThreads: numThreads === undefined ? undefined : checkInteger('numThreads', numThreads, 1, 256),
    gpuLibrary: options.gpuLibrary ?? KVASIR_GPU_LIBRARY,
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

function cudaBackend(named: string | undefined): Backend & { readonly library?: string } {
  const none = (missing: string) => ({ backend: 'cuda', isas: [], missing }) as const
  const cpu = cpuBackend()
  if (cpu.missing !== undefined) return none(cpu.missing)
  const library = findGpuLibrary(named)
  if (library.path === null) return none(library.missing)
  const { missing, kind, devices } = (loadAddon() as NativeBinding).gpuState(library.path)
  if (missing !== '') return none(`The GPU library ${library.path} cannot be used: ${missing}.`)
  const isa = kind === 'cuda' ? `sm_${devices[0]?.capability}` : kind
  return { backend: 'cuda', isas: [isa], library: library.path }
}

/** Whoever installs the platform package wants the GPU; a library that is only named must be asked for. */
function hasInstalledGpu(): boolean {
  return cudaBackend(undefined).missing === undefined
}

let warned = false

function warnOnce(message: string): void {
  if (!warned) console.warn(message)
  warned = true
}
