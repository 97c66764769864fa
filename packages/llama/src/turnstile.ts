/** Lets one task through at a time, in the order of arrival. */
export class Turnstile {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs `task` after all earlier ones have settled. */
  pass<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(task)
    this.#last = turn.catch(() => {})
    return turn
  }

  /** Settles once nothing is inside or waiting. */
  async idle(): Promise<void> {
    await this.#last
  }
}
