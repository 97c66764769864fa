import { setImmediate } from 'node:timers/promises'

/** Other work of the event loop gets its turn after this long. */
const sliceMs = 4

/** Calls body(0), ..., body(count - 1), with turns for other work in between. Rejects with the signal's reason once aborted. */
export async function inSlices(
  count: number,
  signal: AbortSignal | undefined,
  body: (i: number) => void,
): Promise<void> {
  let sliceStart = performance.now()
  for (let i = 0; i < count; i++) {
    if (performance.now() - sliceStart > sliceMs) {
      await setImmediate()
      sliceStart = performance.now()
    }
    signal?.throwIfAborted()
    body(i)
  }
}
