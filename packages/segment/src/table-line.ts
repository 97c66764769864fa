/** True if `line` has cells: two bars or tabs with text around them, or commas or semicolons without a space after them. */
export function isTableLine(line: string): boolean {
  if (!/[|\t]|[,;]\S.*[,;]\S/.test(line)) return false // prose
  return /\S *\| .*\S *\| *\S/.test(line) || /\S\t.*\S\t+\S/.test(line) || hasCells(line, ',') || hasCells(line, ';')
}

/** True if `line` goes on with a table: one bar or tab is enough below a row. */
export function isNextTableLine(line: string): boolean {
  return / \| |\S\t+\S/.test(line) || isTableLine(line)
}

/**
 * True for a row of comma-separated values: three cells or more, each short, none behind a space. The commas of a number (12,000,000), of
 * prose ("red, green") and of formulas in prose ("let x,y,z be points") make no cells.
 */
function hasCells(line: string, separator: string): boolean {
  if (!line.includes(separator)) return false
  const row = line.trim()
  if (/[.!?]$/.test(row) || row.endsWith(separator.repeat(2))) return false
  const cells = splitCells(row, separator)
  if (cells.length < 3 || cells.some((cell) => /^\s/.test(cell))) return false
  const plain = cells.filter((cell) => !cell.startsWith('"'))
  const numSpaces = plain.join('').split(' ').length - 1
  return numSpaces <= plain.length && !cells.slice(1).every((cell) => /^\d{3}(?!\d)/.test(cell))
}

/** Splits at separators that stand outside of quotation marks. */
function splitCells(row: string, separator: string): string[] {
  const cells: string[] = []
  let start = 0
  let isQuoted = false
  for (let index = 0; index < row.length; index++) {
    if (row[index] === '"') isQuoted = !isQuoted
    else if (row[index] === separator && !isQuoted) {
      cells.push(row.slice(start, index))
      start = index + 1
    }
  }
  return [...cells, row.slice(start)]
}
