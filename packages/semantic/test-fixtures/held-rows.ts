import { type EngineProfile, indicesOfRow, type KvReader, type NativeSelector } from '@kvasir/core'
import { seededRandom } from '@kvasir/core/testing'
import { type Backend, type Kernels, loadKernels } from '@kvasir/kernels'

export const numLayers = 2
export const numHeads = 4
export const numKvHeads = 2
export const headDim = 32
const scale = 1 / Math.sqrt(headDim)

/** An engine profile of these kernels: two layers of one shape. */
export function profileOf(kernels: Kernels | undefined, layers: Partial<EngineProfile['shape']['layers'][0]>[] = []) {
  const layer = { numHeads, numKvHeads, headDim, rope: null }
  const shape = { layers: Array.from({ length: numLayers }, (_, i) => ({ ...layer, ...layers[i] })) }
  const capabilities = new Set(['select.runs', 'select.native:segment-codes', 'select.native:exact-scores'])
  const profile: EngineProfile = { name: 'rows', shape, capabilities, contextTokens: 4096 }
  return kernels ? { ...profile, kernels } : profile
}

/** Random KV rows, the same for every backend, in pages that are not in order. */
export async function heldRows(backend: Backend['backend'], numTokens: number, seed: number) {
  const kernels = await loadKernels({ backend })
  const numPages = Math.ceil(numTokens / 16)
  const arena = kernels.createArena({ numLayers, numKvHeads, headDim, capacityPages: numPages + 2 })
  const pages = Int32Array.from({ length: numPages }, (_, page) => numPages + 1 - page)
  const slots = Int32Array.from({ length: numTokens }, (_, index) => pages[index >> 4] * 16 + (index & 15))
  const random = seededRandom(seed)
  for (let layer = 0; layer < numLayers; layer++) {
    const [keys, values] = [0, 1].map(() => random.normals(numTokens * numKvHeads * headDim, 2))
    const program = kernels.createProgram([{ kind: 'writeKv', arena, layer, keys, values, slots, rows: numTokens }])
    await program.run({ tokens: 0 })
  }
  const reader: KvReader = {
    numTokens,
    keys: (layer, kvHead, start, end) => arena.readRows('keys', layer, kvHead, pages, start, end),
    values: (layer, kvHead, start, end) => arena.readRows('values', layer, kvHead, pages, start, end),
    native: { arena, pages },
  }
  /** The indices that each KV head chooses for queries [numHeads][headDim] of one layer, of the first `held` rows. */
  const choose = async (
    selector: NativeSelector,
    layer: number,
    q: Float32Array,
    held = numTokens,
  ): Promise<number[][]> => {
    const batch = {
      rowStarts: Int32Array.of(0, 1),
      contextTokens: Int32Array.of(held),
      pageStarts: Int32Array.of(0, numPages),
      pages,
    }
    const lists = kernels.createRunLists(1, numKvHeads)
    const rule = { numHeads, scale, windowTokens: 0, batch, lists }
    const program = kernels.createProgram([{ kind: 'selectRuns', arena, layer, q, ...rule }])
    await program.run({ tokens: 1, sequences: 1, selectors: [selector] })
    return Array.from({ length: numKvHeads }, (_, kvHead) => indicesOfRow(lists.get(0), kvHead))
  }
  return { kernels, reader, choose, profile: profileOf(kernels) }
}
