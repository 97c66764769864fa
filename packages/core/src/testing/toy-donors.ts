import { type DonorKv, type DonorStore, formatDifference, type KvFormat } from '../donors.ts'
import { IntegrityError } from '../errors.ts'
import type { ReusePlan } from '../plans.ts'
import type { ToyRows } from './toy-model.ts'
import type { ToyState } from './toy-rows.ts'
import { headDim, numKvHeads } from './toy-weights.ts'

/** Rows [0, numTokens) of a sequence as a donor. */
export function toyDonor(state: ToyState, format: KvFormat, numTokens: number): DonorKv {
  return {
    id: state.id,
    scope: state.scope,
    tokens: Int32Array.from(state.tokens.slice(0, numTokens)),
    format,
    layer: async (layer) => layerBytes(state.layers[layer], numTokens),
    close: () => {},
  }
}

/** K and V rows of each layer of one donor, by donor row. */
export interface LentRows {
  readonly tokens: Int32Array
  readonly layers: readonly Pick<ToyRows, 'keys' | 'values'>[]
}

/** The rows of all donors of the plan; null where one is gone, damaged or not what the plan takes it for. */
export async function openLent(
  store: DonorStore,
  state: ToyState,
  { plan, tokens }: { readonly plan: ReusePlan; readonly tokens: Int32Array },
  format: KvFormat,
): Promise<ReadonlyMap<string, LentRows> | null> {
  const lent = new Map<string, LentRows>()
  try {
    for (const { donor, donorStart, start, end } of plan.pieces) {
      const rows = lent.get(donor) ?? (await openDonor(store, state, donor, format))
      if (rows === null) return null
      lent.set(donor, rows)
      const span = rows.tokens.subarray(donorStart, donorStart + end - start)
      if (span.length < end - start) return null
      if (plan.provenance.kind === 'exact' && !span.every((token, i) => token === tokens[start + i])) return null
    }
  } catch (error) {
    if (error instanceof IntegrityError) return null
    throw error
  }
  return lent
}

async function openDonor(store: DonorStore, state: ToyState, id: string, format: KvFormat): Promise<LentRows | null> {
  const donor = await store.open(id, state.scope)
  if (donor === null) return null
  try {
    if (formatDifference(format, donor.format) !== null) return null
    const { tokens } = donor
    const readOne = async (layer: number) => readLayer(await donor.layer(layer), tokens.length)
    return { tokens, layers: await Promise.all(format.shape.layers.map((_, layer) => readOne(layer))) }
  } finally {
    donor.close()
  }
}

/** [numKvHeads][keys, values][numTokens][headDim] */
function layerBytes({ keys, values }: ToyRows, numTokens: number): Uint8Array {
  const floats = new Float32Array(numKvHeads * 2 * numTokens * headDim)
  eachHeadRow(numTokens, (kvHead, index, at) => {
    floats.set(keys[index].subarray(kvHead * headDim, (kvHead + 1) * headDim), at)
    floats.set(values[index].subarray(kvHead * headDim, (kvHead + 1) * headDim), at + numTokens * headDim)
  })
  return new Uint8Array(floats.buffer)
}

function readLayer(bytes: Uint8Array, numTokens: number): LentRows['layers'][number] {
  const floats = new Float32Array(bytes.slice().buffer)
  const rows = () => Array.from({ length: numTokens }, () => new Float32Array(numKvHeads * headDim))
  const [keys, values] = [rows(), rows()]
  eachHeadRow(numTokens, (kvHead, index, at) => {
    keys[index].set(floats.subarray(at, at + headDim), kvHead * headDim)
    const valueAt = at + numTokens * headDim
    values[index].set(floats.subarray(valueAt, valueAt + headDim), kvHead * headDim)
  })
  return { keys, values }
}

function eachHeadRow(numTokens: number, visit: (kvHead: number, index: number, keyAt: number) => void): void {
  for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
    for (let index = 0; index < numTokens; index++) {
      visit(kvHead, index, (kvHead * 2 * numTokens + index) * headDim)
    }
  }
}
