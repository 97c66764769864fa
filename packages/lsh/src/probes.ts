/** One way to read a band: the bits of it that are flipped, [0, bandBits). */
export interface Probe {
  readonly band: number
  readonly bits: readonly number[]
}

interface Guess {
  readonly band: number
  /** Places in the band's order of margins, ascending. */
  readonly ranks: readonly number[]
  readonly cost: number
}

/**
 * The `count` likeliest other readings of bands of bandBits bits, likeliest first: a set of flips costs the sum of the squared
 * margins of its bits (Lv et al. 2007). margins [numBands * bandBits]; equal ones make single flips come before pairs.
 */
export function likelyProbes(margins: Float32Array, numBands: number, bandBits: number, count: number): Probe[] {
  const bands = Array.from({ length: numBands }, (_, band) => {
    const squares = Array.from(margins.subarray(band * bandBits, (band + 1) * bandBits), (margin) => margin * margin)
    const order = [...squares.keys()].sort((a, b) => (squares[a] as number) - (squares[b] as number) || a - b)
    return { order, costs: order.map((bit) => squares[bit] as number) }
  })
  const guess = (band: number, ranks: readonly number[]): Guess => {
    const { costs } = bands[band] as { costs: number[] }
    return { band, ranks, cost: ranks.reduce((sum, rank) => sum + (costs[rank] as number), 0) }
  }
  const open = bands.map((_, band) => guess(band, [0]))
  const probes: Probe[] = []
  while (probes.length < count && open.length > 0) {
    const [{ band, ranks }] = open.splice(cheapest(open), 1) as [Guess]
    probes.push({ band, bits: ranks.map((rank) => (bands[band] as { order: number[] }).order[rank] as number) })
    const last = ranks.at(-1) as number
    if (last + 1 === bandBits) continue
    // The largest flip becomes the next one, or the next one joins: every set comes up once, after cheaper ones.
    open.push(guess(band, [...ranks.slice(0, -1), last + 1]), guess(band, [...ranks, last + 1]))
  }
  return probes
}

function cheapest(open: readonly Guess[]): number {
  let best = 0
  open.forEach(({ cost }, i) => {
    if (cost < (open[best] as Guess).cost) best = i
  })
  return best
}
