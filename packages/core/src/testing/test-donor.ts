import type { DonorKv, KvFormat } from '../donors.ts'
import type { Scope } from '../scope.ts'

export const testScope: Scope = { tenant: 'acme', group: 'all', model: 'toy', layout: 'f16', policy: 'full' }

/** Two layers that differ in everything that a format may say. */
export const testFormat: KvFormat = {
  model: 'toy',
  type: 'f16',
  shape: {
    layers: [
      {
        numHeads: 4,
        numKvHeads: 2,
        headDim: 4,
        rope: { pairing: 'half', rotaryDim: 4, theta: 10_000, scaling: { kind: 'divisors', divisors: [1, 1.5] } },
      },
      { numHeads: 1, numKvHeads: 1, headDim: 6, rope: null, windowTokens: 8 },
    ],
  },
}

export interface TestDonorOptions {
  readonly id?: string
  readonly scope?: Scope
  readonly numTokens?: number
  /** Other bytes and tokens for another seed. @default 0 */
  readonly seed?: number
  /** Called before each layer is handed out. */
  readonly onLayer?: (layer: number) => Promise<void> | void
}

/** A donor whose every byte follows from its seed. */
export function testDonor(options: TestDonorOptions = {}): DonorKv {
  const { id = 'donor', scope = testScope, numTokens = 5, seed = 0, onLayer } = options
  return {
    id,
    scope,
    tokens: Int32Array.from({ length: numTokens }, (_, at) => seed * 1000 + at * 7),
    format: testFormat,
    async layer(layer) {
      await onLayer?.(layer)
      return testLayer(layer, numTokens, seed)
    },
    close: () => {},
  }
}

/** The bytes of a layer of `testDonor`. */
export function testLayer(layer: number, numTokens: number, seed: number): Uint8Array {
  const { numKvHeads, headDim } = testFormat.shape.layers[layer]
  return Uint8Array.from(
    { length: numKvHeads * 2 * numTokens * headDim * 2 },
    (_, at) => (at * 31 + layer * 97 + seed * 59) % 251,
  )
}
