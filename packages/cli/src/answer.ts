import { argMax } from '@kvasir/eval'
import { encodeChat, type LlamaModel, type Sequence, TextStream } from '@kvasir/llama'

const maxAnswerTokens = 48

/** A question about a text as a user's message: its tokens. */
export function encodeQuestion(
  model: LlamaModel,
  { instruction, text }: { readonly instruction: string; readonly text: string },
  question: string,
): Int32Array {
  return encodeChat(model, [{ role: 'user', content: `${instruction}\n\n${text}\n\n${question}` }])
}

/** Greedy answer from the logits that a sequence gave last, without its end token. */
export async function drawAnswer(
  { tokenizer }: LlamaModel,
  sequence: Sequence,
  logits: Float32Array,
  onText: (text: string) => void = () => {},
): Promise<{ readonly text: string; readonly tokens: readonly number[] }> {
  const stream = tokenizer && new TextStream(tokenizer)
  const ends = tokenizer?.eosIds ?? []
  const tokens: number[] = []
  let text = ''
  let next = argMax(logits)
  while (!ends.includes(next) && tokens.length < maxAnswerTokens) {
    tokens.push(next)
    const piece = stream?.push(next) ?? ''
    text += piece
    onText(piece)
    next = argMax(await sequence.decode(next))
  }
  return { text, tokens }
}
