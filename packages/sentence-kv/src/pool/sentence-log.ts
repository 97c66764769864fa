/**
 * Where the sentences of a growing sequence end and where its last prompt ends, in tokens. A prompt's last sentence ends
 * with the prompt; what is generated after it starts a new one.
 */
export class SentenceLog {
  readonly #ends: number[] = []
  #numTokens = 0
  #promptEnd = 0

  get numTokens(): number {
    return this.#numTokens
  }

  get promptEnd(): number {
    return this.#promptEnd
  }

  /** First token of the sentence that is being generated. */
  get openStart(): number {
    return Math.max(this.#promptEnd, this.#ends.at(-1) ?? 0)
  }

  /** Takes the next token; `closes` says that it ends its sentence. */
  push(closes: boolean): void {
    this.#numTokens++
    if (closes) this.#ends.push(this.#numTokens)
  }

  endPrompt(): void {
    this.#promptEnd = this.#numTokens
  }

  /** Ascending ends of the prompt's sentences; together they cover it. */
  promptEnds(): number[] {
    const ends = this.#ends.filter((end) => end < this.#promptEnd)
    return this.#promptEnd > 0 ? [...ends, this.#promptEnd] : ends
  }

  /** Sentences that were generated and closed since the prompt. */
  get numGenerated(): number {
    return this.#ends.filter((end) => end > this.#promptEnd).length
  }

  /** Goes back to the first numTokens tokens; those of a prompt that is cut stay a prompt. */
  truncate(numTokens: number): void {
    this.#numTokens = numTokens
    this.#promptEnd = Math.min(this.#promptEnd, numTokens)
    while ((this.#ends.at(-1) ?? 0) > numTokens) this.#ends.pop()
  }

  clone(): SentenceLog {
    const copy = new SentenceLog()
    copy.#ends.push(...this.#ends)
    copy.#numTokens = this.#numTokens
    copy.#promptEnd = this.#promptEnd
    return copy
  }
}
