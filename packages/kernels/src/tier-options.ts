import { checkFlag, checkInteger, checkKeys, checkNumber, checkOneOf, OptionError } from '@kvasir/core'

/** Where a tiered arena keeps every row: in memory, or in a file of its own that is made with it and removed with it. */
export type LowerTier = HostTier | FileTier

export interface HostTier {
  readonly kind: 'host'
  /**
   * On a GPU, float16 rows that are not fetched ahead: all of them pinned when the arena is made, so that the device brings
   * up and reads what it needs by itself; else they are ordinary memory, taken as rows are written, and the host brings up
   * what a step reads. Without meaning on a CPU. @default true
   */
  readonly pinned?: boolean
}

export interface FileTier {
  readonly kind: 'file'
  /** A path where nothing is yet. Required. */
  readonly path: string
  /**
   * Reads and writes past the system's file cache (O_DIRECT), so that memory holds the hot rows alone. Where the file
   * system refuses, the file is used without, and the arena's notes say so. @default false
   */
  readonly direct?: boolean
  /** Threads that read the file, 1 to 64; all of it, or what prefill reads where there is io_uring. @default 4 */
  readonly ioThreads?: number
  /** Reads blocks through io_uring where the system has it: no thread is woken for them. @default true */
  readonly ioUring?: boolean
}

/** Rows in a lower tier, and a bounded part of them in slots that decode attention reads. */
export interface TierOptions {
  /** Required. */
  readonly lower: LowerTier
  /** Most bytes, over all layers, of the slots and their tables. Required. */
  readonly hotBytes: number
  /** How rows are stored: as they are, or int8 with a scale a row, which loses about 0.4 % of a row. @default 'f16' */
  readonly lowerType?: 'f16' | 'q8'
  /** What a slot holds of one KV head: a row, or a block of 16 rows. A file moves blocks. @default 'row' for host, 'block' for file */
  readonly unit?: 'row' | 'block'
  /**
   * Rows of a file that are not hot when attention wants them: wait for them, or leave them out of this step and have
   * them for the next, as long as half of a list is hot; that changes what attention sees. @default 'wait'
   */
  readonly onMiss?: 'wait' | 'drop'
  /** Fetch the rows that a selector nearly chose, for the next step. @default true for file, false for host */
  readonly prefetch?: boolean
}

/** Tier options, complete. */
export interface ResolvedTierOptions extends Required<Omit<TierOptions, 'lower'>> {
  readonly lower: Required<HostTier> | Required<FileTier>
}

/** Something asked for that the machine does not give. */
export interface TierNote {
  readonly kind: 'direct-refused'
  readonly reason: string
}

/**
 * What a tiered arena holds and has done since it was made. Lookups are of units: rows, or the blocks of a run. Moved: up
 * from the lower tier, so that a decode step reads it or a selector chooses by it; a K row without its V row is half a row.
 */
export interface TierCounts {
  /** Slots and their tables; never more than the option. */
  readonly hotBytes: number
  /** One layer's rows for prefill and for steps that overflow, and pages that are not full yet. */
  readonly stagingBytes: number
  readonly peakStagingBytes: number
  /** Rows as stored. */
  readonly lowerBytes: number
  /** What finds and checks stored rows: 4 bytes for each row or block that could be hot, and checksums. */
  readonly tableBytes: number
  readonly movedRows: number
  readonly movedBytes: number
  readonly hits: number
  readonly misses: number
  readonly prefetched: number
  readonly prefetchHits: number
  /** Selections (a layer of a step) that had to wait for a file. */
  readonly waits: number
  readonly waitMs: number
  /** Rows left out because they were late. */
  readonly dropped: number
  /** Selections that wanted more than the slots hold. */
  readonly overflows: number
}

/** Checks and completes tier options of an arena whose rows have this type. */
export function resolveTier(options: TierOptions, type: 'f16' | 'f32'): ResolvedTierOptions {
  checkKeys('tier', options, ['lower', 'hotBytes', 'lowerType', 'unit', 'onMiss', 'prefetch'])
  if (type !== 'f16') {
    throw new OptionError({ parameter: 'type', expected: "'f16' for an arena with a tier", got: type })
  }
  const lower = resolveLowerTier(options.lower)
  const isFile = lower.kind === 'file'
  const unit = checkOneOf('tier.unit', options.unit ?? (isFile ? 'block' : 'row'), ['row', 'block'])
  if (isFile && unit === 'row') {
    const remedy = 'Rows of 128 bytes or so are too small to be read one by one.'
    throw new OptionError({ parameter: 'tier.unit', expected: "'block' for a file", got: unit, remedy })
  }
  return {
    lower,
    hotBytes: checkNumber('tier.hotBytes', options.hotBytes, 1, Number.MAX_SAFE_INTEGER),
    lowerType: checkOneOf('tier.lowerType', options.lowerType ?? 'f16', ['f16', 'q8']),
    unit,
    onMiss: checkOneOf('tier.onMiss', options.onMiss ?? 'wait', ['wait', 'drop']),
    prefetch: checkFlag('tier.prefetch', options.prefetch ?? isFile),
  }
}

/** Checks and completes a lower tier; says nothing yet about its path. */
export function resolveLowerTier(lower: LowerTier): ResolvedTierOptions['lower'] {
  checkOneOf('tier.lower.kind', lower?.kind, ['host', 'file'])
  if (lower.kind === 'host') {
    checkKeys('tier.lower', lower, ['kind', 'pinned'])
    return { kind: 'host', pinned: checkFlag('tier.lower.pinned', lower.pinned ?? true) }
  }
  checkKeys('tier.lower', lower, ['kind', 'path', 'direct', 'ioThreads', 'ioUring'])
  if (typeof lower.path !== 'string' || lower.path === '' || lower.path.includes('\0')) {
    throw new OptionError({ parameter: 'tier.lower.path', expected: 'the path of a new file', got: lower.path })
  }
  return {
    kind: 'file',
    path: lower.path,
    direct: checkFlag('tier.lower.direct', lower.direct ?? false),
    ioThreads: checkInteger('tier.lower.ioThreads', lower.ioThreads ?? 4, 1, 64),
    ioUring: checkFlag('tier.lower.ioUring', lower.ioUring ?? true),
  }
}
