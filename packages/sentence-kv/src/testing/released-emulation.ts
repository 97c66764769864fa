import type { StepRows, TestNumbers } from './test-sequence.ts'

/**
 * The published code, as plain arrays over made-up numbers: every cache expanded to query heads, a padded table of
 * indices, scores of the whole pool masked to -Infinity. Slow on purpose; what mode `released` is held against.
 */
export class ReleasedEmulation {
  readonly #numbers: TestNumbers
  readonly #numHeads = 4
  readonly #numKvHeads = 2
  readonly #numLayers = 2
  readonly #budget: number
  readonly #factor: number
  readonly #layers: EmulatedLayer[] = []
  #numTokens = 0

  constructor(numbers: TestNumbers, budget: number, factor: number) {
    this.#numbers = numbers
    this.#budget = budget
    this.#factor = factor
  }

  prefill(pieces: readonly string[]): void {
    const length = pieces.length
    this.#numTokens = length
    const starts = [0, ...pieces.flatMap((piece, at) => (isDelimiter(piece) ? [at + 1] : []))]
    if (starts[starts.length - 1] < length) starts.push(length)
    const numSentences = starts.length - 1
    for (let layer = 0; layer < this.#numLayers; layer++) {
      const mass = this.#numbers.mass(layer, length)
      const heads = Array.from({ length: this.#numHeads }, (_, head) => {
        const positions = this.#compress([...mass.subarray(head * length, (head + 1) * length)])
        const keys = positions.map((at) => this.#key(layer, head, at))
        const slots = Math.max(100, Math.floor(positions.length / numSentences) * 2 + 50)
        const table = Array.from({ length: numSentences }, () => new Array<number>(slots).fill(-1))
        const sums = Array.from({ length: numSentences }, () => new Array<number>(keys[0].length).fill(0))
        const counts = new Array<number>(numSentences).fill(0)
        positions.forEach((at, entry) => {
          const sentence = starts.findLastIndex((start) => start <= at)
          if (counts[sentence] < slots) table[sentence][counts[sentence]] = entry
          counts[sentence]++
          keys[entry].forEach((value, i) => {
            sums[sentence][i] += value
          })
        })
        const means = sums.map((sum, sentence) =>
          sum.map((value) => Math.fround(value / Math.max(1, counts[sentence]))),
        )
        const lengths = counts.map((count) => Math.min(Math.max(1, count), slots))
        return { positions, table, means, lengths, slots }
      })
      this.#layers.push({ heads, open: [] })
    }
  }

  /** Positions that each query head attends to, layer by layer. */
  decode(piece: string): number[][][] {
    const at = this.#numTokens++
    return this.#layers.map((state, layer) => {
      for (const head of state.heads) head.positions.push(at)
      state.open.push(Array.from({ length: this.#numHeads }, (_, head) => [...this.#numbers.query(layer, head, at)]))
      if (isDelimiter(piece)) {
        for (const [h, head] of state.heads.entries()) this.#closeSentence(head, layer, h, state.open.length)
        state.open.length = 0
      }
      return state.heads.map((head, h) =>
        this.#attended(
          head,
          state.open.map((queries) => queries[h]),
        ),
      )
    })
  }

  #compress(mass: number[]): number[] {
    const length = mass.length
    const all = mass.map((_, at) => at)
    if (length < 32) return all
    const past = mass.slice(0, length - 32)
    const pooled = past.map((_, at) => Math.max(...past.slice(Math.max(0, at - 3), at + 4)))
    const wanted = Math.min(Math.floor(this.#budget * this.#factor) - 32, past.length)
    const order = all.slice(0, length - 32).sort((a, b) => pooled[b] - pooled[a] || a - b)
    return [...order.slice(0, wanted).sort((a, b) => a - b), ...all.slice(length - 32)]
  }

  #closeSentence(head: EmulatedHead, layer: number, h: number, sentenceLength: number): void {
    const end = head.positions.length
    const entries = Array.from({ length: sentenceLength }, (_, i) => end - sentenceLength + i)
    const keys = entries.map((entry) => this.#key(layer, h, head.positions[entry]))
    head.means.push(keys[0].map((_, i) => Math.fround(keys.reduce((sum, key) => sum + key[i], 0) / sentenceLength)))
    const row = new Array<number>(head.slots).fill(-1)
    if (sentenceLength <= head.slots) row.splice(0, sentenceLength, ...entries)
    head.table.push(row)
    head.lengths.push(Math.min(sentenceLength, head.slots))
  }

  #attended(head: EmulatedHead, open: readonly number[][]): number[] {
    const total = head.positions.length
    const mask = new Array<boolean>(total).fill(open.length <= 1)
    for (let entry = 0; entry < Math.min(32, total); entry++) mask[entry] = true
    for (let entry = Math.max(0, total - 32); entry < total; entry++) mask[entry] = true
    if (open.length > 1) {
      const query = open[0].map((_, i) => open.reduce((sum, row) => sum + row[i], 0) / open.length)
      const scores = head.means.map((mean) => Math.fround(mean.reduce((sum, value, i) => sum + value * query[i], 0)))
      const order = scores.map((_, sentence) => sentence).sort((a, b) => scores[b] - scores[a] || a - b)
      const found = order.flatMap((sentence) => head.table[sentence].slice(0, head.lengths[sentence]))
      const reachable = found.filter((entry) => entry > 32 && entry < total - 32)
      for (const entry of reachable.slice(0, this.#budget - 64)) mask[entry] = true
    }
    return head.positions.filter((_, entry) => mask[entry])
  }

  #key(layer: number, head: number, at: number): number[] {
    return [...this.#numbers.key(layer, Math.floor(head / (this.#numHeads / this.#numKvHeads)), at)]
  }
}

interface EmulatedHead {
  /** Position of each entry of the compacted cache. */
  readonly positions: number[]
  /** [sentences][slots], -1 where empty. */
  readonly table: number[][]
  readonly means: number[][]
  readonly lengths: number[]
  readonly slots: number
}

interface EmulatedLayer {
  readonly heads: readonly EmulatedHead[]
  /** Queries [numHeads][headDim] of each token of the sentence that is being generated. */
  readonly open: number[][][]
}

function isDelimiter(piece: string): boolean {
  return piece === '.' || piece === '!' || piece === '?' || piece === '...'
}

/** What a session read, everything spelled out. */
export function spelledOut(step: StepRows, numTokens: number): number[][][] {
  const all = Array.from({ length: numTokens }, (_, at) => at)
  return step.map((heads) => heads?.map((rows) => [...rows]) ?? new Array<number[]>(4).fill(all))
}
