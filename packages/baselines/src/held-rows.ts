import { bestIndices, rowsOutside, type Span } from '@kvasir/core'

/** Rows that a set of heads still holds, each with the attention that it got. */
export class HeldRows {
  /** Ascending indices; entries from `count` on are free. */
  #rows: Int32Array
  #mass: Float32Array
  #count = 0
  /** Rows from here on were never seen. */
  #end = 0

  constructor(capacity: number) {
    this.#rows = new Int32Array(capacity)
    this.#mass = new Float32Array(capacity)
  }

  get count(): number {
    return this.#count
  }

  get end(): number {
    return this.#end
  }

  get rows(): Int32Array {
    return this.#rows.subarray(0, this.#count)
  }

  /** Of each held row. */
  get mass(): Float32Array {
    return this.#mass.subarray(0, this.#count)
  }

  clone(): HeldRows {
    const copy = new HeldRows(this.#rows.length)
    copy.#rows.set(this.#rows)
    copy.#mass.set(this.#mass)
    copy.#count = this.#count
    copy.#end = this.#end
    return copy
  }

  /** Takes in the rows up to `end`, which got no attention yet. */
  extend(end: number): void {
    this.#reserve(this.#count + Math.max(0, end - this.#end))
    for (; this.#end < end; this.#end++) {
      this.#rows[this.#count] = this.#end
      this.#mass[this.#count++] = 0
    }
  }

  /** Lets the rows of the spans go. */
  drop(spans: readonly Span[]): void {
    const left = rowsOutside(this.rows, spans)
    for (let at = 0, kept = 0; kept < left.length; at++) if (this.#rows[at] === left[kept]) this.#move(at, kept++)
    this.#count = left.length
  }

  /** Forgets the rows from `end` on. */
  truncate(end: number): void {
    while (this.#count > 0 && this.#rows[this.#count - 1] >= end) this.#count--
    this.#end = Math.min(this.#end, end)
  }

  /** Evicts the rows of least attention before `recentStart` until `limit` are left; of equal ones the later. */
  shrink(limit: number, recentStart: number): void {
    if (this.#count <= limit) return
    let old = this.#count
    while (old > 0 && this.#rows[old - 1] >= recentStart) old--
    const places = Int32Array.from({ length: old }, (_, at) => at)
    const best = bestIndices(places, Float64Array.from(this.#mass.subarray(0, old)), limit - (this.#count - old))
    let kept = 0
    for (const at of best) this.#move(at, kept++)
    for (let at = old; at < this.#count; at++) this.#move(at, kept++)
    this.#count = kept
  }

  #move(from: number, to: number): void {
    this.#rows[to] = this.#rows[from]
    this.#mass[to] = this.#mass[from]
  }

  #reserve(count: number): void {
    if (count <= this.#rows.length) return
    const [rows, mass] = [new Int32Array(count), new Float32Array(count)]
    rows.set(this.#rows)
    mass.set(this.#mass)
    this.#rows = rows
    this.#mass = mass
  }
}
