import { OptionError } from './errors.ts'

/** Refuses keys of `options` that are not in `known`, naming the nearest right spelling. */
export function checkKeys(owner: string, options: object, known: readonly string[]): void {
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue
    const near = known.find((name) => isNear(name.toLowerCase(), key.toLowerCase()))
    throw new OptionError({
      parameter: `${owner}.${key}`,
      expected: `one of ${known.join(', ')}`,
      got: key,
      ...(near === undefined ? {} : { remedy: `Did you mean ${near}?` }),
    })
  }
}

/** `value` if it is an integer in [min, max]; else throws. */
export function checkInteger(parameter: string, value: unknown, min: number, max = Number.MAX_SAFE_INTEGER): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value
  const range = max === Number.MAX_SAFE_INTEGER ? `>= ${min}` : `in [${min}, ${max}]`
  throw new OptionError({ parameter, expected: `an integer ${range}`, got: value })
}

/** `value` if it is a finite number in [min, max]; else throws. */
export function checkNumber(parameter: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && value >= min && value <= max && Number.isFinite(value)) return value
  throw new OptionError({ parameter, expected: `a number in [${min}, ${max}]`, got: value })
}

/** `value` if it is true or false; else throws. */
export function checkFlag(parameter: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw new OptionError({ parameter, expected: 'true or false', got: value })
}

/** `value` if it is one of `allowed`; else throws. */
export function checkOneOf<T extends string>(parameter: string, value: unknown, allowed: readonly T[]): T {
  if (allowed.includes(value as T)) return value as T
  throw new OptionError({ parameter, expected: `one of ${allowed.join(', ')}`, got: value })
}

/** True if a and b differ by at most two single-character edits, or one holds the other. */
function isNear(a: string, b: string): boolean {
  if (a.includes(b) || b.includes(a)) return true
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, substitute))
    }
    row = next
  }
  return (row[b.length] as number) <= 2
}
