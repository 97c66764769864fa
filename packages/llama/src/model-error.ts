import { KvasirError } from '@kvasir/core'

/** Why a well-formed file cannot be run. */
export type ModelErrorKind =
  | 'unsupported-architecture'
  | 'unsupported-feature'
  | 'missing-key'
  | 'wrong-key-type'
  | 'bad-value'
  | 'missing-tensor'
  | 'unexpected-tensor'
  | 'wrong-shape'
  | 'wrong-tensor-type'
  | 'unsupported-tokenizer'
  | 'bad-vocabulary'

/** The file is well-formed GGUF, but not a model that this engine runs. `parameter` is the key or tensor. */
export class ModelError extends KvasirError {
  readonly kind: ModelErrorKind

  constructor(kind: ModelErrorKind, parameter: string, expected: string, got: unknown, remedy?: string) {
    super({ parameter, expected, got, ...(remedy === undefined ? {} : { remedy }) })
    this.kind = kind
  }
}
