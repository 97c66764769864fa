import { randomBytes } from 'node:crypto'
import {
  checkInteger,
  checkKeys,
  checkNumber,
  DisposedError,
  encodeScope,
  OptionError,
  type Scope,
  ShapeError,
  validateScope,
} from '@kvasir/core'
import { checkSecret, deriveKey } from './derive-key.ts'
import { createDonorShard, type DonorCandidate, type DonorShard } from './donor-shard.ts'

export interface DonorIndexOptions {
  /** What hashes are keyed with, at least 16 bytes. @default 32 random bytes */
  readonly secret?: Uint8Array
  /** Donors of all scopes; one more takes the place of the one used longest ago in the largest scope. @default 100,000 */
  readonly maxDonors?: number
  /** Consecutive tokens that two prompts must share to be seen to. @default 8 */
  readonly shingleTokens?: number
  /** One shingle in so many is kept, and of few at least 16. More find shorter overlaps, and take more room. @default 8 */
  readonly sampleEvery?: number
  /** Donors listed under one hash, the newest. @default 64 */
  readonly maxListed?: number
  /** 32-bit words of each signature; 0: donors have none. @default 0 */
  readonly signatureWords?: number
  /** Bits in which two signatures must agree in some band to meet. @default 16 */
  readonly bandBits?: number
  /** The clock that lifetimes go by, in ms. @default Date.now */
  readonly now?: () => number
}

export interface IndexedDonor {
  /** Required. One that the scope has already replaces it. */
  readonly id: string
  /** Who may be offered the donor. Required. */
  readonly scope: Scope
  /** Required. */
  readonly tokens: ArrayLike<number>
  /** [signatureWords], such as the hyperplane signature of an embedding. @default none */
  readonly signature?: Uint32Array
  /** @default for ever */
  readonly ttlMs?: number
}

export interface DonorQuery {
  /** Candidates at most. Required. */
  readonly limit: number
  /** [signatureWords] of the target. @default none */
  readonly signature?: Uint32Array
}

/**
 * Finds which of many earlier prompts share text with a new one. Each scope has structures and keys of its own: nothing of
 * one can come up in another.
 */
export interface DonorIndex {
  insert(donor: IndexedDonor): void
  /** False where the scope has no such donor. */
  remove(id: string, scope: Scope): boolean
  /** Forgets a whole scope; how many donors it had. */
  removeScope(scope: Scope): number
  /** Candidates, first the one that holds most of the target, then what adds most to those before; compare their tokens. */
  query(tokens: ArrayLike<number>, scope: Scope, query: DonorQuery): DonorCandidate[]
  /** Donors of a scope that have not expired. */
  size(scope: Scope): number
  /** Frees the room of expired donors, which are never offered; how many. Insertions do so little by little. */
  sweep(): number
  counts(): DonorIndexCounts
  dispose(): void
}

export interface DonorIndexCounts {
  readonly scopes: number
  /** Expired ones that still take room included. */
  readonly donors: number
  /** Of hash tables, hashes and signatures; ids and lists of about 200 bytes a donor come on top. */
  readonly bytes: number
}

const optionNames = [
  'secret',
  'maxDonors',
  'shingleTokens',
  'sampleEvery',
  'maxListed',
  'signatureWords',
  'bandBits',
  'now',
]

/** Throws an OptionError; the index throws OptionError, ScopeError, ShapeError and DisposedError. */
export function createDonorIndex(options: DonorIndexOptions = {}): DonorIndex {
  const { secret, now, maxDonors, signatureWords, shardOptions } = resolve(options)
  const shards = new Map<string, DonorShard>()
  let [size, disposed] = [0, false]

  function shardOf(scope: Scope): { readonly name: string; readonly shard: DonorShard | undefined } {
    if (disposed)
      throw new DisposedError({ parameter: 'index', expected: 'an open donor index', got: 'a disposed one' })
    validateScope(scope)
    const name = Buffer.from(encodeScope(scope)).toString('latin1')
    return { name, shard: shards.get(name) }
  }

  /** Runs what changes a shard's size, and drops a shard that is left empty. */
  function change<T>(name: string, shard: DonorShard, run: () => T): T {
    const before = shard.size
    const result = run()
    size += shard.size - before
    if (shard.size === 0) shards.delete(name)
    return result
  }

  /** From the largest scope, so that who floods an index pushes out their own. */
  function removeOne(): void {
    const [name, shard] = [...shards].reduce((most, each) => (each[1].size > most[1].size ? each : most))
    change(name, shard, () => shard.removeOldest())
  }

  function checkSignature(signature: Uint32Array | undefined): Uint32Array | null {
    if (signature === undefined) return null
    if (signature instanceof Uint32Array && signature.length === signatureWords && signatureWords > 0) return signature
    const expected = signatureWords === 0 ? 'none: signatureWords is 0' : `a Uint32Array of ${signatureWords} words`
    throw new ShapeError({ parameter: 'signature', expected, got: signature })
  }

  return {
    insert: (donor) => {
      checkKeys('insert', donor, ['id', 'scope', 'tokens', 'signature', 'ttlMs'])
      const { name, shard: known } = shardOf(donor.scope)
      const { id, scope, tokens, ttlMs } = donor
      if (typeof id !== 'string' || id === '') throw new OptionError({ parameter: 'id', expected: 'a name', got: id })
      const signature = checkSignature(donor.signature)
      const nowMs = now()
      const expiresMs = nowMs + (ttlMs === undefined ? Number.POSITIVE_INFINITY : checkNumber('ttlMs', ttlMs, 0, 1e15))
      const key = () => new Uint32Array(deriveKey(secret, { scope, use: 'donor shingles' }).slice().buffer)
      const shard = known ?? createDonorShard(shardOptions(key()))
      shards.set(name, shard)
      change(name, shard, () => shard.insert({ id, tokens, signature, expiresMs }, nowMs))
      if (size > maxDonors) removeOne()
    },
    remove: (id, scope) => {
      const { name, shard } = shardOf(scope)
      return shard !== undefined && change(name, shard, () => shard.remove(id))
    },
    removeScope: (scope) => {
      const { name, shard } = shardOf(scope)
      const removed = shard?.size ?? 0
      shards.delete(name)
      size -= removed
      return removed
    },
    query: (tokens, scope, query) => {
      checkKeys('query', query, ['limit', 'signature'])
      const { shard } = shardOf(scope)
      const limit = checkInteger('limit', query.limit, 1)
      const signature = checkSignature(query.signature)
      return shard === undefined ? [] : shard.query({ tokens, signature, limit, nowMs: now() })
    },
    size: (scope) => shardOf(scope).shard?.countAlive(now()) ?? 0,
    sweep: () => {
      const nowMs = now()
      return [...shards].reduce((sum, [name, shard]) => sum + change(name, shard, () => shard.sweep(nowMs)), 0)
    },
    counts: () => ({
      scopes: shards.size,
      donors: size,
      bytes: [...shards.values()].reduce((sum, shard) => sum + shard.numBytes, 0),
    }),
    dispose: () => {
      disposed = true
      shards.clear()
      size = 0
    },
  }
}

function resolve(options: DonorIndexOptions) {
  checkKeys('DonorIndexOptions', options, optionNames)
  const { secret = new Uint8Array(randomBytes(32)), now = Date.now } = options
  checkSecret(secret)
  const shingleTokens = checkInteger('shingleTokens', options.shingleTokens ?? 8, 1, 64)
  const sampleEvery = checkInteger('sampleEvery', options.sampleEvery ?? 8, 1, 1024)
  const maxListed = checkInteger('maxListed', options.maxListed ?? 64, 1, 1024)
  const bandBits = checkInteger('bandBits', options.bandBits ?? 16, 1, 64)
  return {
    secret,
    now,
    maxDonors: checkInteger('maxDonors', options.maxDonors ?? 100_000, 1, 2 ** 24),
    signatureWords: checkInteger('signatureWords', options.signatureWords ?? 0, 0, 64),
    shardOptions: (key: Uint32Array) => ({ rule: { key, shingleTokens, sampleEvery }, maxListed, bandBits }),
  }
}
