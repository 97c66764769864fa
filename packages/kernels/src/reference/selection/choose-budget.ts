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
 * Tokens that each row keeps, ascending. Not joint: its best wanted[row]. Joint: its best floor(wanted[row] / 4), then
 * the best remaining of any row until the sum of `wanted` is taken. Equal values: the lower token, then the lower row.
 */
export function chooseBudget(rows: readonly ValueRow[], wanted: readonly number[], joint: boolean): number[][] {
  const ranked = rows.map(({ tokens, values }, row) =>
    tokens.map((token, i): Candidate => ({ row, token, value: values[i] as number })).sort(byRank),
  )
  const shares = wanted.map((tokens) => (joint ? Math.floor(tokens / 4) : tokens))
  const own = ranked.flatMap((candidates, row) => candidates.slice(0, shares[row]))
  const rest = ranked.flatMap((candidates, row) => candidates.slice(shares[row])).sort(byRank)
  const all = wanted.reduce((sum, tokens) => sum + tokens, 0)
  const taken = joint ? own.concat(rest.slice(0, all - own.length)) : own
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
