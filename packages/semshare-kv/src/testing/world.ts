import type { DonorKv, Scope } from '@kvasir/core'
import { memoryDonors, seededRandom, type ToyEngine, toyEngine, toyTokens } from '@kvasir/core/testing'
import { type DonorLibrary, type DonorLibraryOptions, donorLibrary } from '../library/donor-library.ts'

export const scope: Scope = { tenant: 't', group: 'g', model: 'm', layout: 'l', policy: 'p' }

/** A toy engine that publishes to a library. */
export interface World {
  readonly engine: ToyEngine
  readonly library: DonorLibrary
}

export async function toyWorld(options: Partial<DonorLibraryOptions> & { seed?: number } = {}): Promise<World> {
  const { seed = 1, store = memoryDonors(), ...others } = options
  const library = await donorLibrary({ store, ...others })
  return { engine: toyEngine({ donors: library, seed }), library }
}

/** A donor without KV, for what looks at tokens alone. */
export function tokenDonor(id: string, text: string, more: Partial<DonorKv> = {}): DonorKv {
  const format = { model: 'toy-1', type: 'f32' as const, shape: toyEngine().profile.shape }
  const layer = async () => new Uint8Array(0)
  return { id, scope, tokens: toyTokens(text), format, layer, close: () => {}, ...more }
}

/** `length` characters of sentences that differ with the seed. */
export function proseOf(seed: number, length: number): string {
  const words = 'river stone cloud lamp garden slow bright walk under tree again market letter window small old'.split(
    ' ',
  )
  const random = seededRandom(seed)
  let text = ''
  while (text.length < length) {
    const sentence = Array.from({ length: 4 + random.integer(5) }, () => words[random.integer(words.length)])
    text += `${sentence.join(' ')}. `
  }
  return text.slice(0, length)
}
