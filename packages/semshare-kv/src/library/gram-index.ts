import { encodeScope, type Scope } from '@kvasir/core'
import { rollingHashes } from '../align/gram-table.ts'

/** Finds donors that share text with a prompt. What it names is only proposed: tokens are compared afterwards. */
export interface DonorIndex {
  insert(donor: { readonly id: string; readonly scope: Scope; readonly tokens: Int32Array }): void
  remove(id: string): void
  /** Ids of at most `limit` donors of the scope, the most alike first. */
  query(tokens: Int32Array, scope: Scope, limit: number): readonly string[] | Promise<readonly string[]>
}

const gramTokens = 8
/** One hash in so many is kept, the same ones for every text. */
const sampleOf = 4
/** Donors that are kept under one hash. */
const donorsPerHash = 128

/** An index in plain TypeScript: donors by how many sampled grams of 8 tokens they share with the prompt. */
export function gramIndex(): DonorIndex {
  const scopes = new Map<string, Map<number, string[]>>()
  const held = new Map<string, { readonly key: string; readonly hashes: ReadonlySet<number> }>()
  return {
    insert({ id, scope, tokens }) {
      const key = scopeKey(scope)
      const hashes = sampledHashes(tokens)
      const byHash = scopes.get(key) ?? new Map<number, string[]>()
      scopes.set(key, byHash)
      held.set(id, { key, hashes })
      for (const hash of hashes) {
        const ids = byHash.get(hash)
        if (ids === undefined) byHash.set(hash, [id])
        else if (ids.length < donorsPerHash) ids.push(id)
      }
    },
    remove(id) {
      const entry = held.get(id)
      const byHash = entry && scopes.get(entry.key)
      if (!byHash) return
      held.delete(id)
      for (const hash of entry.hashes) {
        const left = byHash.get(hash)?.filter((other) => other !== id) ?? []
        if (left.length > 0) byHash.set(hash, left)
        else byHash.delete(hash)
      }
      if (byHash.size === 0) scopes.delete(entry.key)
    },
    query(tokens, scope, limit) {
      const byHash = scopes.get(scopeKey(scope))
      const shared = new Map<string, number>()
      for (const hash of byHash ? sampledHashes(tokens) : []) {
        for (const id of byHash?.get(hash) ?? []) shared.set(id, (shared.get(id) ?? 0) + 1)
      }
      const best = [...shared].sort(([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1))
      return best.slice(0, limit).map(([id]) => id)
    },
  }
}

/** One string a scope; no two scopes share one. */
function scopeKey(scope: Scope): string {
  return String.fromCharCode(...encodeScope(scope))
}

function sampledHashes(tokens: Int32Array): ReadonlySet<number> {
  return new Set(rollingHashes(tokens, gramTokens).filter((hash) => hash % sampleOf === 0))
}
