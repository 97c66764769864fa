import { CheckedCodeTable, CheckedHashPlanes, distances, metrics, type Ranking } from '../checked-hashing.ts'
import type { CodeTableOptions, HashPlanesOptions, NearestCodes, RankedRows } from '../hashing.ts'
import type { Handle } from './binding.ts'
import type { CpuKernels } from './cpu-kernels.ts'

/** Planes in the order of the kernels. */
export class CpuHashPlanes extends CheckedHashPlanes {
  declare readonly owner: CpuKernels
  readonly handle: Handle

  constructor(owner: CpuKernels, options: HashPlanesOptions) {
    super(owner, options)
    const { planes, offsets = new Float32Array(0), width = 1 } = options
    this.handle = owner.binding.createHashPlanes(planes, this.numHashes, this.dim, offsets, width)
  }

  protected hash(x: Float32Array, products: boolean, out: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { binding, jobs } = this.owner
    return jobs.run((job) => binding.hashRows(jobs.runtime, job, this.handle, products, x, out), signal)
  }

  protected free(): void {
    this.owner.binding.release(this.handle)
  }
}

/** Codes in blocks of rows. */
export class CpuCodeTable extends CheckedCodeTable {
  declare readonly owner: CpuKernels
  readonly handle: Handle

  constructor(owner: CpuKernels, options: CodeTableOptions) {
    super(owner, options)
    this.handle = owner.binding.createCodeTable(distances.indexOf(this.distance), options.codes, this.codeBytes)
  }

  protected search(
    queries: Uint8Array,
    count: number,
    maxDistance: number,
    { indices, distances }: NearestCodes,
    signal?: AbortSignal,
  ): Promise<void> {
    const { binding, jobs } = this.owner
    const start = (job: number) =>
      binding.nearestCodes(jobs.runtime, job, this.handle, queries, count, maxDistance, indices, distances)
    return jobs.run(start, signal)
  }

  protected free(): void {
    this.owner.binding.release(this.handle)
  }
}

export async function rankRows({ binding, jobs }: CpuKernels, ranking: Ranking): Promise<RankedRows> {
  const { dim, queries, rows, candidates, threshold, found } = ranking
  const metric = metrics.indexOf(ranking.metric)
  const { indices, values } = found
  const start = (job: number) =>
    binding.rankRows(jobs.runtime, job, metric, dim, queries, rows, candidates, threshold, indices, values)
  await jobs.run(start, ranking.signal)
  return found
}
