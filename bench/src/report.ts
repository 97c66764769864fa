import { cpus, totalmem } from 'node:os'

/** One figure, and where there is a pair, how the two sides compare. */
export interface BenchRow {
  readonly name: string
  /** What was run, as key=value[,key=value...]. */
  readonly shape: string
  /** Of `ours` and `theirs`. */
  readonly unit: string
  /** Median over the pairs. */
  readonly ours: number
  readonly theirs?: number
  /** Whose `theirs` is. */
  readonly against?: string
  /** Median over the pairs; above 1 is better for us, whatever the unit. */
  readonly ratio?: number
  /** Lower and upper quartile of the ratio. */
  readonly ratioQuartiles?: readonly [number, number]
  readonly pairs: number
  /** What went wrong, where that is the result. */
  readonly note?: string
}

export interface BenchReport {
  readonly machine: Machine
  readonly threads: number
  readonly rows: readonly BenchRow[]
}

/** What figures depend on beside the code. */
export interface Machine {
  readonly cpu: string
  readonly logicalCores: number
  readonly memoryBytes: number
  readonly node: string
  /** Kernels in use, such as cpu/vnni. */
  readonly kernels: string
}

export function describeMachine(kernels: { readonly backend: string; readonly isa: string }): Machine {
  const cores = cpus()
  return {
    cpu: cores[0]?.model.trim() ?? 'unknown',
    logicalCores: cores.length,
    memoryBytes: totalmem(),
    node: process.versions.node,
    kernels: `${kernels.backend}/${kernels.isa}`,
  }
}
