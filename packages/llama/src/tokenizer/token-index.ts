/** Finds the id of a token by its text. */
export interface TokenIndex {
  /** The id of the token that reads text[start, end) without the character at `skip`; -1 where there is none. */
  find(text: string, start?: number, end?: number, skip?: number): number
}

/**
 * Indexes tokens by text; of equal tokens the last counts. An open-addressing hash in a typed array rather than a Map,
 * because merges name parts of strings: a Map would need three new strings for each of 280,000 merges (0.4 s at start).
 */
export function tokenIndex(tokens: readonly string[]): TokenIndex {
  const mask = 2 ** Math.ceil(Math.log2(tokens.length * 2 + 2)) - 1
  /** [hash] -> id, -1 where empty. */
  const slots = new Int32Array(mask + 1).fill(-1)

  const slotOf = (text: string, start: number, end: number, skip: number): number => {
    const hash = hashOf(text, start, end, skip)
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      if (slots[slot] < 0 || reads(tokens[slots[slot]], text, start, end, skip)) return slot
    }
  }

  tokens.forEach((token, id) => {
    slots[slotOf(token, 0, token.length, -1)] = id
  })
  return { find: (text, start = 0, end = text.length, skip = -1) => slots[slotOf(text, start, end, skip)] }
}

/** FNV-1a over UTF-16 units. */
function hashOf(text: string, start: number, end: number, skip: number): number {
  let hash = 0x811c9dc5
  for (let i = start; i < end; i++) {
    if (i !== skip) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  }
  return hash ^ (hash >>> 15)
}

function reads(token: string, text: string, start: number, end: number, skip: number): boolean {
  const skips = skip >= start && skip < end
  if (token.length !== end - start - (skips ? 1 : 0)) return false
  let at = 0
  for (let i = start; i < end; i++) {
    if (i !== skip && token.charCodeAt(at++) !== text.charCodeAt(i)) return false
  }
  return true
}
