/** Work that was started and will be waited for later; its failures are nobody's until then. */
export class PendingWork {
  #started: Promise<unknown>[] = []

  add(work: Promise<unknown>): void {
    work.catch(() => {})
    this.#started.push(work)
  }

  /** Waits until all of it has ended, then throws the first failure. */
  async drain(): Promise<void> {
    const started = this.#started
    await this.settle()
    await Promise.all(started)
  }

  /** Waits until all of it has ended, well or not. */
  async settle(): Promise<void> {
    const started = this.#started
    this.#started = []
    await Promise.allSettled(started)
  }
}
