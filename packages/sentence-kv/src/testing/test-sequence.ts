import {
  type CachePolicy,
  type EngineProfile,
  indicesOfRow,
  type KvReader,
  type KvShape,
  type PolicySession,
  privateScope,
  type RetainPlan,
  type Selection,
} from '@kvasir/core'
import { seededRandom } from '@kvasir/core/testing'

export const testShape: KvShape = {
  layers: [
    { numHeads: 4, numKvHeads: 2, headDim: 8, rope: null },
    { numHeads: 4, numKvHeads: 2, headDim: 8, rope: null },
  ],
}

/** A step of a test sequence: what each head of each layer was told to read; null: everything. */
export type StepRows = readonly (readonly (readonly number[])[] | null)[]

export interface TestNumbers {
  /** [headDim] */
  readonly key: (layer: number, kvHead: number, index: number) => Float32Array
  /** [headDim] */
  readonly query: (layer: number, head: number, index: number) => Float32Array
  /** [numHeads][numTokens]: window mass. */
  readonly mass: (layer: number, numTokens: number) => Float32Array
}

/** Random numbers in place of a model: keys, queries and window masses that depend on seed, layer, head and index alone. */
export function testNumbers(seed: number, { layers }: KvShape = testShape): TestNumbers {
  const row = (kind: number, layer: number, head: number, index: number) =>
    seededRandom(((seed * 7 + kind) * 31 + layer) * 1_000_003 + head * 65_537 + index).normals(layers[layer].headDim)
  return {
    key: (layer: number, kvHead: number, index: number) => row(1, layer, kvHead, index),
    query: (layer: number, head: number, index: number) => row(2, layer, head, index),
    mass: (layer: number, numTokens: number) => {
      const random = seededRandom(seed * 99_991 + layer * 13 + numTokens)
      return Float32Array.from({ length: layers[layer].numHeads * numTokens }, () => random.uniform())
    },
  }
}

/** Drives one session of a policy as an engine would, over made-up numbers and given texts, and says what it was told. */
export class TestSequence {
  readonly #numbers: TestNumbers
  readonly #shape: KvShape
  readonly #session: PolicySession
  readonly #windowTokens: number
  numTokens = 0

  constructor(policy: CachePolicy, numbers: TestNumbers, shape: KvShape = testShape, session?: PolicySession) {
    this.#numbers = numbers
    this.#shape = shape
    this.#windowTokens = policy.effects.observes?.windowTokens ?? 0
    this.#session = session ?? policy.open({ id: 'test', profile: testProfile(shape), scope: privateScope('test') })
  }

  async prefill(pieces: readonly string[], last = true): Promise<RetainPlan> {
    const start = this.numTokens
    this.numTokens += pieces.length
    const { numTokens } = this
    const attention = {
      windowTokens: Math.min(this.#windowTokens, pieces.length),
      windowMass: async (layer: number) => this.#numbers.mass(layer, numTokens),
      totalMass: async (layer: number) => this.#numbers.mass(layer, numTokens),
    }
    const tokens = new Int32Array(pieces.length)
    const kv = this.#reader()
    return this.#session.retain!({ tokens, pieces, start, last, kv, ...(last && { attention }) })
  }

  async decode(piece: string): Promise<StepRows> {
    this.numTokens++
    const index = this.numTokens - 1
    const kv = this.#reader()
    const rows = this.#shape.layers.map(({ numHeads, headDim }, layer) => {
      const queries = new Float32Array(numHeads * headDim)
      for (let head = 0; head < numHeads; head++) queries.set(this.#numbers.query(layer, head, index), head * headDim)
      return rowsOf(this.#session.select!({ layer, numTokens: this.numTokens, queries, piece, kv }))
    })
    await this.#session.append!({ token: 0, piece, index, kv })
    return rows
  }

  async decodeAll(pieces: readonly string[]): Promise<StepRows[]> {
    const steps: StepRows[] = []
    for (const piece of pieces) steps.push(await this.decode(piece))
    return steps
  }

  rewind(numTokens: number): void {
    this.#session.rewind!(numTokens)
    this.numTokens = numTokens
  }

  counts() {
    return this.#session.counts!()
  }

  #reader(): KvReader {
    const keys = (layer: number, kvHead: number, start: number, end: number) => {
      const { headDim } = this.#shape.layers[layer]
      const rows = new Float32Array((end - start) * headDim)
      for (let at = start; at < end; at++) rows.set(this.#numbers.key(layer, kvHead, at), (at - start) * headDim)
      return rows
    }
    return { numTokens: this.numTokens, keys, values: keys }
  }
}

function testProfile(shape: KvShape): EngineProfile {
  return { name: 'test', shape, capabilities: new Set(), contextTokens: 65_536 }
}

function rowsOf(selection: Selection): number[][] | null {
  if (selection.kind !== 'runs') return null
  return Array.from({ length: selection.runs.rowStarts.length - 1 }, (_, row) => indicesOfRow(selection.runs, row))
}
