import { checkFlag, checkInteger, checkKeys, checkNumber, checkOneOf, OptionError } from '@kvasir/core'
import type { DonorLibrary } from '../library/donor-library.ts'
import { type Dials, type Fidelity, fidelities } from './fidelities.ts'

/** Exact runs at their true positions, everything else computed. */
export interface KvasirOptions extends Partial<Dials> {
  /** @default 'kvasir' */
  readonly mode?: 'kvasir'
  /** Who lends; the engine must publish to the same library. Required. */
  readonly donors: DonorLibrary
  /** Sets all options of `Dials` that are not set by themselves. @default 'balanced' */
  readonly fidelity?: Fidelity
  /** First layers after which deviation is looked at. @default 3 */
  readonly probeLayers?: number
  /** Prompts with fewer tokens that do not stand yet are computed. @default 64 */
  readonly minPromptTokens?: number
  /** Share of the prefill that borrowing must save by the cost model; so must what is not exact by itself. @default 0.1 */
  readonly minSaving?: number
  /** Donors that are compared with the prompt, and those of them that may lend. @default 8 */
  readonly maxCandidates?: number
  /** @default 4 */
  readonly maxDonors?: number
  /** A donor that lends fewer tokens is left out: the opening of a chat template alone is not worth it. @default 64 */
  readonly minDonorTokens?: number
  /**
   * Share of the tokens between runs that may take the row of another token; those of the prompt that carry facts never do. Costs more
   * fidelity than anything else here; needs `observe.embeddings`. @default 0
   */
  readonly fuzzyShare?: number
  /** Least cosine of the two tokens' embeddings. @default 0.7 */
  readonly fuzzyCosine?: number
  /** Names what the sequences are for: a breaker a workload and scope. @default '' */
  readonly workload?: string
  /** Compare the first use of each donor with a full prefill. @default true */
  readonly auditFirstUse?: boolean
  /** Share of the other uses that are compared. @default 0.01 */
  readonly auditShare?: number
  /** KL(full || borrowed) above which an audit is bad. @default 0.5 */
  readonly auditKlNats?: number
  /** Bad audits out of the last 8 that open the breaker of a workload: nothing is borrowed. @default 2 */
  readonly breakerAudits?: number
  /** Time until one prompt is tried, and audited, under an open breaker. @default 60000 */
  readonly breakerMs?: number
  /** Of the choice of audited uses. @default 1 */
  readonly seed?: number
  /** Clock, in milliseconds. @default performance.now */
  readonly now?: () => number
}

export type ResolvedKvasir = Required<Omit<KvasirOptions, 'fidelity'>>

const dialNames = Object.keys(fidelities.strict) as (keyof Dials)[]

const optionNames = [
  'mode',
  'donors',
  'fidelity',
  'probeLayers',
  'minPromptTokens',
  'minSaving',
  'maxCandidates',
  'maxDonors',
  'minDonorTokens',
  'fuzzyShare',
  'fuzzyCosine',
  'workload',
  'auditFirstUse',
  'auditShare',
  'auditKlNats',
  'breakerAudits',
  'breakerMs',
  'seed',
  'now',
  ...dialNames,
] as const

export function resolveKvasir(options: KvasirOptions): ResolvedKvasir {
  checkKeys('SemShareKvOptions of mode kvasir', options, optionNames)
  const fidelity = checkOneOf('fidelity', options.fidelity ?? 'balanced', ['strict', 'balanced', 'fast'])
  const { donors, workload = '', now = () => performance.now() } = options
  checkLibrary(donors)
  if (typeof workload !== 'string')
    throw new OptionError({ parameter: 'workload', expected: 'a string', got: workload })
  return {
    mode: 'kvasir',
    donors,
    ...resolveDials({ ...fidelities[fidelity], ...definedOf(options) }),
    probeLayers: checkInteger('probeLayers', options.probeLayers ?? 3, 1),
    minPromptTokens: checkInteger('minPromptTokens', options.minPromptTokens ?? 64, 1),
    minSaving: checkNumber('minSaving', options.minSaving ?? 0.1, -1, 1),
    maxCandidates: checkInteger('maxCandidates', options.maxCandidates ?? 8, 1, 64),
    maxDonors: checkInteger('maxDonors', options.maxDonors ?? 4, 1, 64),
    minDonorTokens: checkInteger('minDonorTokens', options.minDonorTokens ?? 64, 1),
    fuzzyShare: checkNumber('fuzzyShare', options.fuzzyShare ?? 0, 0, 1),
    fuzzyCosine: checkNumber('fuzzyCosine', options.fuzzyCosine ?? 0.7, -1, 1),
    workload,
    auditFirstUse: checkFlag('auditFirstUse', options.auditFirstUse ?? true),
    auditShare: checkNumber('auditShare', options.auditShare ?? 0.01, 0, 1),
    auditKlNats: checkNumber('auditKlNats', options.auditKlNats ?? 0.5, 0, 100),
    breakerAudits: checkInteger('breakerAudits', options.breakerAudits ?? 2, 1, 8),
    breakerMs: checkNumber('breakerMs', options.breakerMs ?? 60_000, 0, 1e9),
    seed: checkInteger('seed', options.seed ?? 1, 0),
    now,
  }
}

/** Throws an OptionError for what is no donor library, such as a bare store. */
export function checkLibrary(donors: unknown): void {
  if (typeof (donors as DonorLibrary | undefined)?.find === 'function') return
  throw new OptionError({
    parameter: 'donors',
    expected: 'a donor library',
    got: donors,
    remedy: 'Make one over your store: await donorLibrary({ store }).',
  })
}

function resolveDials(dials: Dials): Dials {
  const { factReachTokens, maxConflicts } = dials
  const startMinTokens = checkInteger('startMinTokens', dials.startMinTokens, 0)
  return {
    minRunTokens: checkInteger('minRunTokens', dials.minRunTokens, 1),
    contextTokens: checkInteger('contextTokens', dials.contextTokens, 1),
    startShare: checkNumber('startShare', dials.startShare, 0, 1),
    startMinTokens,
    startMaxTokens: checkInteger('startMaxTokens', dials.startMaxTokens, startMinTokens),
    editShare: checkNumber('editShare', dials.editShare, 0, 1),
    tailTokens: checkInteger('tailTokens', dials.tailTokens, 1),
    factReachTokens: factReachTokens === 'all' ? 'all' : checkInteger('factReachTokens', factReachTokens, 0),
    deviationShare: checkNumber('deviationShare', dials.deviationShare, 0, 1),
    probeRows: checkInteger('probeRows', dials.probeRows, 0),
    raiseDeviation: checkNumber('raiseDeviation', dials.raiseDeviation, 0, 1e6),
    maxDeviation: checkNumber('maxDeviation', dials.maxDeviation, 0, 1e6),
    minCoverage: checkNumber('minCoverage', dials.minCoverage, 0, 1),
    maxConflicts: maxConflicts === 'any' ? 'any' : checkInteger('maxConflicts', maxConflicts, 0),
  }
}

/** The dials that are set, those that are `undefined` left out. */
function definedOf(options: KvasirOptions): Partial<Dials> {
  return Object.fromEntries(
    dialNames.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]),
  )
}
