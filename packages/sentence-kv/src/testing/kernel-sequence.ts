import { type CachePolicy, type EngineProfile, indicesOfRow, type KvReader, privateScope } from '@kvasir/core'
import { seededRandom } from '@kvasir/core/testing'
import { type Backend, type CountingSelector, type Kernels, type KvArena, loadKernels } from '@kvasir/kernels'

export const shape = { numLayers: 2, numHeads: 4, numKvHeads: 2, headDim: 32 } as const
const { numLayers, numKvHeads, headDim } = shape

/** Random KV rows on real kernels, in pages that are not in order; sequences of any text up to `capacity` tokens read them. */
export class KernelRows {
  readonly kernels: Kernels
  readonly arena: KvArena
  readonly pages: Int32Array
  readonly numHeads: number

  private constructor(kernels: Kernels, arena: KvArena, pages: Int32Array, numHeads: number) {
    this.kernels = kernels
    this.arena = arena
    this.pages = pages
    this.numHeads = numHeads
  }

  static async write(
    backend: Backend['backend'],
    capacity: number,
    seed: number,
    numHeads: number = shape.numHeads,
  ): Promise<KernelRows> {
    const kernels = await loadKernels({ backend })
    const numPages = Math.ceil(capacity / 16)
    const arena = kernels.createArena({ numLayers, numKvHeads, headDim, capacityPages: numPages })
    const pages = Int32Array.from({ length: numPages }, (_, page) => numPages - 1 - page)
    const slots = Int32Array.from({ length: capacity }, (_, index) => pages[index >> 4] * 16 + (index & 15))
    const random = seededRandom(seed)
    for (let layer = 0; layer < numLayers; layer++) {
      const [keys, values] = [0, 1].map(() => random.normals(capacity * numKvHeads * headDim, 2))
      const program = kernels.createProgram([{ kind: 'writeKv', arena, layer, keys, values, slots, rows: capacity }])
      await program.run({ tokens: 0 })
    }
    return new KernelRows(kernels, arena, pages, numHeads)
  }

  reader(numTokens: number): KvReader {
    const { arena, pages } = this
    return {
      numTokens,
      keys: (layer, kvHead, start, end) => arena.readRows('keys', layer, kvHead, pages, start, end),
      values: (layer, kvHead, start, end) => arena.readRows('values', layer, kvHead, pages, start, end),
      native: { arena, pages },
    }
  }

  get profile(): EngineProfile {
    const { numHeads } = this
    return {
      name: 'rows',
      shape: { layers: Array.from({ length: numLayers }, () => ({ numHeads, numKvHeads, headDim, rope: null })) },
      capabilities: new Set(['select.native:segment-codes']),
      contextTokens: 65_536,
      kernels: this.kernels,
    }
  }

  /** The indices that each KV head chooses of the first numTokens rows, for queries [numHeads][headDim]. */
  async choose(selector: CountingSelector, layer: number, q: Float32Array, numTokens: number): Promise<number[][]> {
    const { kernels, arena, numHeads } = this
    const pages = this.pages.slice(0, Math.ceil(numTokens / 16))
    const batch = {
      rowStarts: Int32Array.of(0, 1),
      contextTokens: Int32Array.of(numTokens),
      pageStarts: Int32Array.of(0, pages.length),
      pages,
    }
    const lists = kernels.createRunLists(1, numKvHeads)
    const rule = { numHeads, scale: 1 / Math.sqrt(headDim), windowTokens: 0, batch, lists }
    const program = kernels.createProgram([{ kind: 'selectRuns', arena, layer, q, ...rule }])
    await program.run({ tokens: 1, sequences: 1, selectors: [selector] })
    return Array.from({ length: numKvHeads }, (_, kvHead) => indicesOfRow(lists.get(0), kvHead))
  }

  /** A session of the policy that has seen the turns as prompts, each in chunks of chunkTokens. */
  async read(policy: CachePolicy, turns: readonly (readonly string[])[], chunkTokens = 1e9) {
    const session = policy.open({ id: 'rows', profile: this.profile, scope: privateScope('rows') })
    let numTokens = 0
    for (const turn of turns) {
      for (let at = 0; at < turn.length; at += chunkTokens) {
        const pieces = turn.slice(at, at + chunkTokens)
        const start = numTokens
        numTokens += pieces.length
        const last = at + chunkTokens >= turn.length
        await session.retain!({
          tokens: new Int32Array(pieces.length),
          pieces,
          start,
          last,
          kv: this.reader(numTokens),
        })
      }
    }
    const kv = this.reader(numTokens)
    return {
      numTokens,
      choose: (layer: number, q: Float32Array) => {
        const selection = session.select!({ layer: null, numTokens, queries: null, piece: '', kv })
        if (selection.kind !== 'native') throw new Error(`selected ${selection.kind}`)
        return this.choose(selection.selector as CountingSelector, layer, q, numTokens)
      },
      dispose: () => session[Symbol.asyncDispose](),
    }
  }
}

/** Queries [numHeads][headDim] along the key of one token. */
export function queryAlong(kv: KvReader, layer: number, token: number): Float32Array {
  const { numHeads } = shape
  const q = new Float32Array(numHeads * headDim)
  for (let head = 0; head < numHeads; head++) {
    const key = kv.keys(layer, Math.floor((head * numKvHeads) / numHeads), token, token + 1)
    q.set(
      key.map((value) => 2 * value),
      head * headDim,
    )
  }
  return q
}
