import { sentences } from '@kvasir/segment'
import { type Contestant, pairedRow, takeTurns, timeRow } from './pairs.ts'
import type { BenchRow } from './report.ts'

/** UTF-16 units that one turn cuts; `text` is repeated up to here. */
const turnUnits = 500_000
const peerName = 'sentencex'

/** Cuts the same text into sentences, in turns with sentencex (native code, called as its package offers it) where it is installed. */
export async function benchSegment(text: string, pairs: number, progress: () => void): Promise<BenchRow[]> {
  const whole = `${text}\n\n`.repeat(Math.ceil(turnUnits / (text.length + 2))).slice(0, turnUnits)
  const numBytes = Buffer.byteLength(whole)
  const contestants: Record<string, Contestant> = { ours: timed(() => sentences(whole, { languages: ['en'] })) }
  const theirs = await import('sentencex').catch(() => null)
  if (theirs !== null) contestants.theirs = timed(() => theirs.segment('en', whole))
  const times = await takeTurns(contestants, pairs, progress)
  const label = { name: 'segment', shape: `units=${whole.length}`, unit: 'MB/s' }
  const toRate = (ms: number) => numBytes / 1e3 / ms
  return [
    theirs === null ? timeRow(label, toRate, times.ours) : pairedRow(label, toRate, times.ours, times.theirs, peerName),
  ]
}

const timed =
  (run: () => unknown): Contestant =>
  async () => {
    const startMs = performance.now()
    run()
    return performance.now() - startMs
  }
