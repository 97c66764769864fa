import type { RunList } from '@kvasir/core'
import { KernelSelector } from '../kernel-selector.ts'
import type { SequenceKv } from '../selection.ts'

export interface SelectInput {
  readonly kv: SequenceKv
  readonly layer: number
  /** [numHeads][headDim], rotated */
  readonly q: Float32Array
  readonly numHeads: number
  readonly scale: number
  /** KV rows held, the current token's included. */
  readonly numTokens: number
}

export abstract class ReferenceSelector extends KernelSelector {
  abstract select(input: SelectInput): RunList
}
