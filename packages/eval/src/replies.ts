import type { Tokenizer } from '@kvasir/llama'
import { decodeEntrants, type Entrant } from './entrants.ts'
import { argMax } from './metrics.ts'

/** An entrant that has read a question, and the logits that follow. */
export interface Asked extends Entrant {
  readonly logits: Float32Array
}

/** A fork that writes a reply. */
interface Writer extends Entrant {
  readonly written: number[]
  next: number
  done: boolean
}

export interface ReplyOptions {
  readonly tokenizer: Tokenizer
  readonly maxNewTokens: number
  /** Called for each new token, whether or not all still write. */
  readonly onToken: () => void
  readonly signal?: AbortSignal
}

/** The greedy reply of each entrant, by forks that are gone afterwards. */
export async function writeReplies(
  asked: readonly Asked[],
  { tokenizer, maxNewTokens, onToken, ...options }: ReplyOptions,
): Promise<string[]> {
  const writers: Writer[] = []
  try {
    for (const { model, sequence, movedBytes, logits } of asked) {
      const entrant = { model, sequence: await sequence.fork(), movedBytes }
      writers.push({ ...entrant, written: [], next: argMax(logits), done: false })
    }
    for (let count = 0; count < maxNewTokens; count++) {
      for (const writer of writers) {
        writer.done ||= tokenizer.eosIds.includes(writer.next)
        if (!writer.done) writer.written.push(writer.next)
        writer.done ||= writer.sequence.numTokens === writer.model.contextTokens
      }
      onToken()
      const writing = writers.filter(({ done }) => !done)
      if (writing.length === 0 || count + 1 === maxNewTokens) continue
      const logits = await decodeEntrants(
        writing.map((entrant) => ({ entrant, token: entrant.next })),
        options,
      )
      writing.forEach((writer, i) => {
        writer.next = argMax(logits[i])
      })
    }
    return writers.map(({ written }) => tokenizer.decode(written))
  } finally {
    for (const { sequence } of writers) await sequence.dispose()
  }
}
