/** What every error says: which parameter, what was expected, what came, and what mends it. */
export interface ErrorDetail {
  readonly parameter: string
  readonly expected: string
  /** The offending value; rendered short in the message. */
  readonly got: unknown
  readonly remedy?: string
  readonly cause?: unknown
}

/** Base of all errors that Kvasir throws on purpose. One subclass a failure that a caller may handle. */
export class KvasirError extends Error {
  readonly parameter: string
  readonly expected: string
  readonly got: string
  readonly remedy: string | undefined

  constructor(detail: ErrorDetail) {
    const got = describeValue(detail.got)
    const remedy = detail.remedy === undefined ? '' : ` ${detail.remedy}`
    super(`${detail.parameter}: expected ${detail.expected}, got ${got}.${remedy}`, { cause: detail.cause })
    this.name = new.target.name
    this.parameter = detail.parameter
    this.expected = detail.expected
    this.got = got
    this.remedy = detail.remedy
  }
}

/** An argument or option has the wrong type, range or name. */
export class OptionError extends KvasirError {}

/** The engine lacks something that the policy needs; `remedy` names the feature or option that supplies it. */
export class CapabilityError extends KvasirError {}

/** A plan or selection is not valid for the view that it answers. */
export class PlanError extends KvasirError {}

/** Policies that cannot stand in one stack. */
export class ComposeError extends KvasirError {}

/** A scope is missing, malformed or not the one that owns the entry. Never downgraded to a fallback. */
export class ScopeError extends KvasirError {}

/** KV with recorded losses was offered where exact KV is required. */
export class ProvenanceError extends KvasirError {}

/** Stored bytes are not those that were written: damaged, cut short or exchanged. */
export class IntegrityError extends KvasirError {}

/** Sizes or layouts of buffers disagree. */
export class ShapeError extends KvasirError {}

/** Something was used after it was disposed. */
export class DisposedError extends KvasirError {}

/** Nested arrays are opened once: a hostile value may hold itself. */
function describeValue(value: unknown, depth = 0): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value)
  if (Array.isArray(value)) {
    if (depth > 1) return `an array of ${value.length}`
    const shown = value.slice(0, 8).map((item) => describeValue(item, depth + 1))
    return `[${shown.join(', ')}${value.length > 8 ? ', ...' : ''}]`
  }
  if (value instanceof Error) return `${value.name} (${value.message})`
  if (ArrayBuffer.isView(value)) return `${value.constructor.name} of ${value.byteLength} bytes`
  if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`
  if (typeof value === 'object' && value !== null)
    return `an object with keys ${Object.keys(value).slice(0, 8).join(', ')}`
  return String(value)
}
