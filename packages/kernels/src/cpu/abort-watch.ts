/** Many waiters on one signal behind one listener: runtimes warn of listeners by the dozen. */
export class AbortWatch {
  readonly #waiting = new WeakMap<AbortSignal, Set<() => void>>()

  /** Calls `stop` once the signal is aborted; the returned function takes that back. */
  add(signal: AbortSignal, stop: () => void): () => void {
    const stops = this.#waiting.get(signal) ?? this.#listen(signal)
    stops.add(stop)
    return () => stops.delete(stop)
  }

  #listen(signal: AbortSignal): Set<() => void> {
    const stops = new Set<() => void>()
    this.#waiting.set(signal, stops)
    signal.addEventListener('abort', () => stops.forEach((stop) => void stop()), { once: true })
    return stops
  }
}
