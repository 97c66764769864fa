import { KvasirError } from '@kvasir/core'

/** What is wrong with a GGUF file. One kind a defect, so that a caller can tell a half download from a hostile file. */
export type GgufErrorKind =
  | 'open-failed'
  | 'read-failed'
  | 'empty-file'
  | 'bad-magic'
  | 'unsupported-version'
  | 'truncated-header'
  | 'header-too-large'
  | 'key-count'
  | 'tensor-count'
  | 'string-length'
  | 'array-length'
  | 'bad-name'
  | 'bad-boolean'
  | 'unknown-value-type'
  | 'nested-array'
  | 'duplicate-key'
  | 'duplicate-tensor'
  | 'bad-alignment'
  | 'dimension-count'
  | 'zero-dimension'
  | 'tensor-too-large'
  | 'unknown-tensor-type'
  | 'removed-tensor-type'
  | 'partial-block'
  | 'tensor-offset'
  | 'tensor-misaligned'
  | 'tensor-overlap'
  | 'tensor-data-missing'
  | 'unknown-tensor'

export interface GgufErrorDetail {
  readonly kind: GgufErrorKind
  readonly path: string
  /** Where in the file, in bytes; null where the defect has no place. */
  readonly byteOffset: number | null
  /** Which field. */
  readonly what: string
  readonly expected: string
  readonly got: unknown
  readonly remedy?: string
  readonly cause?: unknown
}

/** The file is not a GGUF file that can be read. */
export class GgufError extends KvasirError {
  readonly kind: GgufErrorKind
  readonly path: string
  readonly byteOffset: number | null
  readonly what: string

  constructor(detail: GgufErrorDetail) {
    const place = detail.byteOffset === null ? '' : ` at byte ${detail.byteOffset}`
    super({
      parameter: `${detail.path}: ${detail.what}${place}`,
      expected: detail.expected,
      got: detail.got,
      cause: detail.cause,
      ...(detail.remedy === undefined ? {} : { remedy: detail.remedy }),
    })
    this.kind = detail.kind
    this.path = detail.path
    this.byteOffset = detail.byteOffset
    this.what = detail.what
  }
}
