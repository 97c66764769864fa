/** One KV head's candidates: tokens ascending, a value each. */
export interface ValueRow {
  readonly tokens: readonly number[]
  readonly values: ArrayLike<number>
}

interface Candidate {
  readonly row: number
  readonly token: number
  readonly value: number
}

/**
 * Tokens that each row keeps of `perRow` a row on average, ascending. Not joint: its best perRow. Joint: its best
 * floor(perRow / 4), then the best remaining of any row until rows * perRow are taken. Equal values: the lower token,
 * then the lower row.
 */
export function chooseBudget(rows: readonly ValueRow[], perRow: number, joint: boolean): number[][] {
  const first = joint ? Math.floor(perRow / 4) : perRow
  const ranked = rows.map(({ tokens, values }, row) =>
    tokens.map((token, i): Candidate => ({ row, token, value: values[i] as number })).sort(byRank),
  )
  const own = ranked.flatMap((candidates) => candidates.slice(0, first))
  const rest = ranked.flatMap((candidates) => candidates.slice(first)).sort(byRank)
  const taken = joint ? own.concat(rest.slice(0, rows.length * perRow - own.length)) : own
  return rows.map((_, row) =>
    taken
      .filter((candidate) => candidate.row === row)
      .map((candidate) => candidate.token)
      .sort((a, b) => a - b),
  )
}

function byRank(a: Candidate, b: Candidate): number {
  return b.value - a.value || a.token - b.token || a.row - b.row
}
