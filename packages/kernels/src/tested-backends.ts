import { availableBackends, type Backend, loadKernels } from './backends.ts'
import type { Kernels } from './kernels.ts'

/** A backend that is there, with one of its instruction sets. */
export interface TestedBackend {
  readonly backend: Backend['backend']
  readonly isa: string
}

/** All that tests can run on here, best first. */
export function testedBackends(): readonly TestedBackend[] {
  return availableBackends().flatMap(({ backend, isas }) => isas.map((isa) => ({ backend, isa })))
}

export function loadTested({ backend, isa }: TestedBackend): Promise<Kernels> {
  return loadKernels(backend === 'cpu' ? { backend, isa, numThreads: 2 } : { backend })
}

export function presentBackends(): readonly Backend[] {
  return availableBackends().filter(({ missing }) => missing === undefined)
}
