import { Resource } from './resource.ts'
import type { CountingSelector, SelectorCounts } from './selector-counts.ts'

/** A native selector of one sequence as its backend keeps it. */
export abstract class KernelSelector extends Resource implements CountingSelector {
  abstract readonly kind: string
  abstract counts(): SelectorCounts
}
