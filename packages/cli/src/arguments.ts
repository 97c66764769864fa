import { checkInteger, checkNumber, OptionError } from '@kvasir/core'

/** Parser of an integer argument in [min, max], for errors that name the option. */
export function integer(name: string, min: number, max: number = Number.MAX_SAFE_INTEGER) {
  return (text: string): number => checkInteger(name, numberOf(name, text), min, max)
}

/** Parser of a number in [min, max]. */
export function decimal(name: string, min: number, max: number) {
  return (text: string): number => checkNumber(name, numberOf(name, text), min, max)
}

/** Parser of `N[,N...]`, each an integer of at least `min`, none twice. */
export function integerList(name: string, min: number) {
  return (text: string): readonly number[] => {
    const values = text.split(',').map(integer(name, min))
    if (new Set(values).size === values.length) return values
    throw new OptionError({ parameter: name, expected: 'each number once', got: text })
  }
}

/** Collects an option that may be given more than once. */
export function repeated(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text]
}

/** Throws OptionError for an option that means nothing without another. */
export function refuseStray(option: string, value: unknown, isWanted: boolean, wanted: string): void {
  if (value === undefined || isWanted) return
  throw new OptionError({ parameter: option, expected: `${wanted} beside it`, got: value })
}

function numberOf(name: string, text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value)) return value
  throw new OptionError({ parameter: name, expected: 'a number', got: text })
}
