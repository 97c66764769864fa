/**
 * 1 for each token of a word that is likely to carry a fact, which a reply must take from this prompt and no other: words
 * with a digit, a capital letter or an underscore, identifiers, negations, and rare words, which the tokenizer cut in three or more.
 */
export function factMask(pieces: readonly string[]): Uint8Array {
  const mask = new Uint8Array(pieces.length)
  for (let start = 0; start < pieces.length; ) {
    const end = endOfWord(pieces, start)
    if (isFact(pieces.slice(start, end))) mask.fill(1, start, end)
    start = end
  }
  return mask
}

/** A word goes on until a token begins with space, or follows one that ends with space; at most 24 tokens. */
function endOfWord(pieces: readonly string[], start: number): number {
  let end = start + 1
  while (end < pieces.length && end - start < 24) {
    if (/^\s/u.test(pieces[end]) || /\s$/u.test(pieces[end - 1])) break
    end++
  }
  return end
}

function isFact(pieces: readonly string[]): boolean {
  const word = pieces.join('')
  if (/[\p{N}\p{Lu}\p{Lt}_]/u.test(word)) return true
  if (/\w(::|->|\.)\w|\(\)/u.test(word)) return true
  const letters = word.replace(/[^\p{L}'’]/gu, '').replace('’', "'")
  if (negations.has(letters) || letters.endsWith("n't")) return true
  return isRare(pieces, letters)
}

/** Scripts without spaces between words have no rare words here: what looks like a word is a sentence. */
function isRare(pieces: readonly string[], letters: string): boolean {
  if (/[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{sc=Thai}]/u.test(letters)) return false
  const parts = pieces.filter((piece) => /\p{L}/u.test(piece)).length
  return parts >= 3 && letters.length > parts
}

const negations: ReadonlySet<string> = new Set([
  ...['no', 'not', 'never', 'none', 'nobody', 'nothing', 'neither', 'nor', 'without', 'cannot', 'except', 'unless'],
  ...['nicht', 'kein', 'keine', 'nie', 'ohne', 'pas', 'jamais', 'sans', 'nunca', 'sin', 'non', 'mai', 'senza'],
])
