import {
  countRunTokens,
  droppedSpans,
  type KvReader,
  type LayerShape,
  type PolicyCounts,
  type PolicySession,
  type PrefillView,
  type RetainPlan,
  rowsOutside,
  runsOfIndices,
  type Selection,
  type StepView,
  type TokenView,
} from '@kvasir/core'
import { unobserved } from '../unobserved.ts'
import {
  addBucket,
  type Buckets,
  bytesOf,
  cloneBuckets,
  countEntries,
  indexOfEntry,
  openBuckets,
  promptBuckets,
  truncateBuckets,
} from './buckets.ts'
import { chooseRows } from './choose.ts'
import type { PoolRule } from './rule.ts'
import { RunningQueries } from './running-queries.ts'
import { SentenceLog } from './sentence-log.ts'

/** One sequence under a PoolRule. Each prompt's end prunes what stands and cuts it into sentences anew. */
export class PoolSession implements PolicySession {
  readonly #rule: PoolRule
  readonly #shape: readonly LayerShape[]
  readonly #log: SentenceLog
  readonly #queries: RunningQueries
  /** [layer][heads of the rule] */
  #buckets: Buckets[][]
  /** [layer][kvHead]: rows of the prompt that any of its heads keeps. */
  #kept: Int32Array[][]
  /** The prompt was cut after its vectors were made. */
  #stale = false
  readonly #counts = { steps: 0, denseSteps: 0, attendedTokens: 0 }

  constructor(rule: PoolRule, shape: readonly LayerShape[], from?: PoolSession) {
    this.#rule = rule
    this.#shape = shape
    this.#log = from ? from.#log.clone() : new SentenceLog()
    this.#queries = from
      ? from.#queries.clone()
      : new RunningQueries(shape.map((layer) => layer.numHeads * layer.headDim))
    this.#buckets = from
      ? from.#buckets.map((heads) => heads.map(cloneBuckets))
      : shape.map((layer) =>
          Array.from({ length: this.#headsOf(layer) }, () => openBuckets(new Int32Array(0), 0, layer.headDim)),
        )
    this.#kept = from ? from.#kept : shape.map(({ numKvHeads }) => new Array(numKvHeads).fill(new Int32Array(0)))
    this.#stale = from ? from.#stale : false
  }

  async retain(view: PrefillView): Promise<RetainPlan> {
    for (const piece of view.pieces) this.#log.push(this.#rule.closes(piece))
    if (!view.last) return {}
    if (view.attention === undefined) throw unobserved()
    // A stack may have more rows at hand than this policy asked for.
    const windowTokens = Math.min(this.#rule.windowTokens, view.attention.windowTokens)
    const kept: Int32Array[][] = []
    for (const [layer, shape] of this.#shape.entries()) {
      const mass = await view.attention.windowMass(layer, windowTokens)
      view.signal?.throwIfAborted()
      const candidates = this.#standingRows(layer, view.kv)
      kept.push(this.#rule.retain({ mass, numTokens: view.kv.numTokens, windowTokens, candidates }, shape))
    }
    // Up to here nothing has changed that a rewind would not undo: the prompt may be aborted.
    this.#log.endPrompt()
    this.#queries.reset(this.#log.promptEnd)
    this.#setPrompt(kept.map((rows, layer) => this.#cutPrompt(layer, rows, view.kv)))
    const isWhole = this.#kept.every((heads) => heads.every((rows) => rows.length === this.#log.promptEnd))
    return isWhole ? {} : { keep: this.#kept.map((heads) => runsOfIndices(heads)) }
  }

  select(step: StepView): Selection {
    const layer = step.layer!
    const queries = step.queries!
    const { numTokens } = step
    if (this.#stale) this.#recutPrompt(step.kv)
    this.#queries.add(layer, numTokens - 1, queries)
    const closes = this.#rule.closes(step.piece)
    const buckets = this.#buckets[layer]
    const openTokens = this.#queries.count(layer)
    const whole = buckets.map((head) => this.#rule.readsAll(openTokens, closes, countEntries(head, numTokens)))
    const all = whole.every(Boolean)
    if (layer === 0) {
      this.#counts.steps++
      if (all) this.#counts.denseSteps++
    }
    const { numKvHeads } = this.#shape[layer]
    if (all && buckets.every(({ rows, promptEnd }) => rows.length === promptEnd)) {
      this.#counts.attendedTokens += numTokens * numKvHeads
      return { kind: 'all' }
    }
    const runs = runsOfIndices(
      buckets.map((head, at) => (whole[at] ? allRows(head, numTokens) : this.#chooseRows(layer, at, numTokens))),
    )
    this.#counts.attendedTokens += (countRunTokens(runs) * numKvHeads) / buckets.length
    return { kind: 'runs', runs }
  }

  append({ piece, index, kv }: TokenView): void {
    const start = this.#log.openStart
    this.#log.push(this.#rule.closes(piece))
    if (!this.#rule.closes(piece)) return
    this.#buckets.forEach((heads, layer) => {
      this.#addSentence(heads, layer, start, index + 1, kv)
    })
    this.#queries.reset(index + 1)
  }

  rewind(numTokens: number): void {
    const cutsPrompt = numTokens < this.#log.promptEnd
    this.#log.truncate(numTokens)
    this.#queries.truncate(numTokens)
    if (cutsPrompt) {
      const cut = ({ rows, headDim }: Buckets) =>
        openBuckets(
          rows.filter((row) => row < numTokens),
          numTokens,
          headDim,
        )
      this.#setPrompt(this.#buckets.map((heads) => heads.map(cut)))
      this.#stale = true
      return
    }
    if (this.#stale) return
    const numBuckets = this.#log.promptEnds().length + this.#log.numGenerated
    for (const heads of this.#buckets) for (const buckets of heads) truncateBuckets(buckets, numBuckets)
  }

  fork(): PoolSession {
    return new PoolSession(this.#rule, this.#shape, this)
  }

  counts(): PolicyCounts {
    const { steps, denseSteps, attendedTokens } = this.#counts
    const generated = this.#log.numTokens - this.#log.promptEnd
    let indexBytes = 0
    let heldTokens = 0
    this.#buckets.forEach((heads, layer) => {
      for (const buckets of heads) indexBytes += bytesOf(buckets)
      for (const rows of this.#kept[layer]) heldTokens += rows.length + generated
    })
    return { steps, attendedTokens, pooledTokens: 0, indexBytes, heldTokens, denseSteps }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #headsOf({ numHeads, numKvHeads }: LayerShape): number {
    return this.#rule.heads === 'kv' ? numKvHeads : numHeads
  }

  /** [heads of the rule]: what each head has, without rows that other policies dropped. */
  #standingRows(layer: number, kv: KvReader): Int32Array[] {
    const heads = this.#buckets[layer]
    const group = heads.length / this.#shape[layer].numKvHeads
    return heads.map((head, at) =>
      rowsOutside(allRows(head, kv.numTokens), droppedSpans(kv, layer, Math.floor(at / group))),
    )
  }

  /** The prompt rows of one layer, `rows` a head of the rule, as buckets. */
  #cutPrompt(layer: number, rows: readonly Int32Array[], kv: KvReader): Buckets[] {
    const { numKvHeads, headDim } = this.#shape[layer]
    const ends = this.#log.promptEnds()
    const group = rows.length / numKvHeads
    let keys: Float32Array = new Float32Array(0)
    return rows.map((kept, head) => {
      if (head % group === 0) keys = kv.keys(layer, head / group, 0, this.#log.promptEnd)
      return promptBuckets(kept, ends, keys, headDim, this.#rule.bucketEntries(kept.length, ends.length))
    })
  }

  #recutPrompt(kv: KvReader): void {
    this.#setPrompt(
      this.#buckets.map((heads, layer) =>
        this.#cutPrompt(
          layer,
          heads.map(({ rows }) => rows),
          kv,
        ),
      ),
    )
  }

  #setPrompt(buckets: Buckets[][]): void {
    this.#buckets = buckets
    this.#kept = buckets.map((heads, layer) => keptRows(heads, this.#shape[layer].numKvHeads))
    this.#stale = false
  }

  #addSentence(heads: readonly Buckets[], layer: number, start: number, end: number, kv: KvReader): void {
    const { numKvHeads } = this.#shape[layer]
    const group = heads.length / numKvHeads
    const all = Int32Array.from({ length: end - start }, (_, row) => row)
    for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
      const keys = kv.keys(layer, kvHead, start, end)
      for (const buckets of heads.slice(kvHead * group, (kvHead + 1) * group)) {
        const first = countEntries(buckets, start)
        const most = this.#rule.bucketEntries(buckets.rows.length, this.#log.promptEnds().length)
        // A sentence that is longer than a bucket brings nothing back.
        addBucket(buckets, first, end - start > most ? first : first + end - start, keys, all)
      }
    }
  }

  #chooseRows(layer: number, head: number, numTokens: number): Int32Array {
    const { numHeads, headDim } = this.#shape[layer]
    const heads = this.#buckets[layer]
    const group = numHeads / heads.length
    const sum = this.#queries.sum(layer)
    const tokens = this.#queries.count(layer)
    const query = new Float64Array(headDim)
    for (let of = head * group; of < (head + 1) * group; of++) {
      for (let i = 0; i < headDim; i++) query[i] += sum[of * headDim + i] / tokens
    }
    return chooseRows(heads[head], query, countEntries(heads[head], numTokens), this.#rule.choice)
  }
}

/** Everything that a head has. */
function allRows(buckets: Buckets, numTokens: number): Int32Array {
  const indices = new Int32Array(countEntries(buckets, numTokens))
  for (let entry = 0; entry < indices.length; entry++) indices[entry] = indexOfEntry(buckets, entry)
  return indices
}

/** [numKvHeads]: rows of the prompt that any head of the group keeps. */
function keptRows(heads: readonly Buckets[], numKvHeads: number): Int32Array[] {
  const group = heads.length / numKvHeads
  return Array.from({ length: numKvHeads }, (_, kvHead) =>
    unionOf(heads.slice(kvHead * group, (kvHead + 1) * group).map(({ rows }) => rows)),
  )
}

function unionOf(lists: readonly Int32Array[]): Int32Array {
  return lists.length === 1 ? lists[0] : Int32Array.from(new Set(lists.flatMap((list) => [...list]))).sort()
}
