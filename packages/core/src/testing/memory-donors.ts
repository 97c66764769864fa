import type { DonorKv, DonorStore } from '../donors.ts'
import { ScopeError } from '../errors.ts'
import { sameScope } from '../scope.ts'

/** A donor store that keeps everything, for tests. */
export function memoryDonors(): DonorStore & { readonly ids: () => readonly string[] } {
  const donors = new Map<string, DonorKv>()
  return {
    ids: () => [...donors.keys()],
    async put(donor) {
      donors.set(donor.id, await copyDonor(donor))
      return true
    },
    async open(id, scope) {
      const found = donors.get(id) ?? null
      if (found === null || sameScope(found.scope, scope)) return found
      throw new ScopeError({ parameter: 'scope', expected: `the scope of ${id}`, got: scope })
    },
  }
}

async function copyDonor(donor: DonorKv): Promise<DonorKv> {
  const { id, scope, format } = donor
  const tokens = donor.tokens.slice()
  const layers = await Promise.all(format.shape.layers.map(async (_, layer) => (await donor.layer(layer)).slice()))
  return { id, scope, tokens, format, layer: async (layer) => layers[layer], close: () => {} }
}
