import { KvasirError } from '@kvasir/core'

/** A backend or instruction set was asked for by name and is not there; `remedy` says how to get it. */
export class BackendError extends KvasirError {}

/** Rows, pages, slots or ids that do not exist, buffers in use, or a failure inside a kernel. */
export class KernelError extends KvasirError {}

/** A lower tier cannot be made, or its file is full, deleted, cut short, changed or not readable; `parameter` names the piece. */
export class TierError extends KvasirError {}
