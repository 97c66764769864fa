import { NONE } from './characters.ts'

/**
 * The stretch of text that a rule may look at. Positions are absolute UTF-16 offsets.
 *
 * Reading past the last character that has arrived sets `starved` unless the text is known to end there. A decision that was starved
 * is thrown away and taken again when more has arrived, so no decision can depend on how the text was cut into pieces.
 */
export class Window {
  text = ''
  /** Offset of the first character of `text`. */
  base = 0
  isFinal = false
  starved = false

  get end(): number {
    return this.base + this.text.length
  }

  /** The code unit at `position`, or NONE outside of the text. */
  at(position: number): number {
    const index = position - this.base
    if (index < this.text.length) return index < 0 ? NONE : this.text.charCodeAt(index)
    if (!this.isFinal) this.starved = true
    return NONE
  }

  slice(start: number, end: number): string {
    return this.text.slice(Math.max(0, start - this.base), Math.max(0, end - this.base))
  }

  /** Forgets what lies before `position`. */
  drop(position: number): void {
    if (position <= this.base) return
    this.text = this.text.slice(position - this.base)
    this.base = position
  }
}
