const minus = '\u2212'
const narrowSpace = '\u202f'

/** So many significant digits, thousands grouped, never an exponent that a person has to undo. */
export function formatNumber(value: number, digits = 3): string {
  return formatDecimals(value, digits, true)
}

/** The same without zeros at the end: for axes. */
export function formatTick(value: number): string {
  return formatDecimals(value, 3, false)
}

function formatDecimals(value: number, digits: number, keepsZeros: boolean): string {
  if (value === 0) return '0'
  const size = Math.abs(value)
  const sign = value < 0 ? minus : ''
  if (size < 1e-6) return `${sign}${size.toExponential(1)}`
  // Of the rounded value: 9.999 is 10.0, not 10.00.
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(Number(size.toPrecision(digits)))))
  const minimumFractionDigits = keepsZeros ? decimals : 0
  return `${sign}${size.toLocaleString('en', { minimumFractionDigits, maximumFractionDigits: decimals })}`
}

/** Decimal units: 1 MB is 10^6 bytes. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  const step = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(Number(bytes.toPrecision(3))) / 3))
  const format = step === 0 ? formatTick : formatNumber
  return `${format(bytes / 1000 ** step)}${narrowSpace}${units[step]}`
}

export function formatCount(value: number): string {
  return Number.isInteger(value) ? value.toLocaleString('en') : formatTick(value)
}

/** A share as a percentage with one decimal. */
export function formatShare(share: number): string {
  return formatFixed(100 * share, 1)
}

export function formatFixed(value: number, decimals: number): string {
  const text = Math.abs(value).toLocaleString('en', {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  })
  return value < 0 && Number(text.replaceAll(',', '')) !== 0 ? `${minus}${text}` : text
}

/** With its sign, for differences. */
export function formatSigned(value: number, format: (value: number) => string): string {
  const text = format(value)
  return value > 0 && /[1-9]/.test(text) ? `+${text}` : text
}

export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`
}
