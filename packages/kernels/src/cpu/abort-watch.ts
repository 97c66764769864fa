interface Waiting {
  readonly stops: Set<() => void>
  readonly listener: () => void
}

/** Many waiters on one signal behind one listener: runtimes warn of listeners by the dozen. */
export class AbortWatch {
  readonly #waiting = new WeakMap<AbortSignal, Waiting>()

  /** Calls `stop` once the signal is aborted; the returned function takes that back, and leaves nothing behind. */
  add(signal: AbortSignal, stop: () => void): () => void {
    const waiting = this.#waiting.get(signal) ?? this.#listen(signal)
    waiting.stops.add(stop)
    return () => {
      waiting.stops.delete(stop)
      if (waiting.stops.size > 0 || this.#waiting.get(signal) !== waiting) return
      signal.removeEventListener('abort', waiting.listener)
      this.#waiting.delete(signal)
    }
  }

  #listen(signal: AbortSignal): Waiting {
    const stops = new Set<() => void>()
    const listener = () => {
      for (const stop of [...stops]) stop()
    }
    const waiting = { stops, listener }
    this.#waiting.set(signal, waiting)
    signal.addEventListener('abort', listener, { once: true })
    return waiting
  }
}
