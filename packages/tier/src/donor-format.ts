import { type DonorKv, type KvFormat, type LayerShape, OptionError, ShapeError, validateKvShape } from '@kvasir/core'

const bytesPerValue = { f16: 2, f32: 4 } as const

const idText = /^[A-Za-z0-9._:-]{1,128}$/

/** Throws an OptionError unless `id` is 1 to 128 characters out of A-Z a-z 0-9 . _ : - */
export function checkDonorId(id: unknown): void {
  if (typeof id === 'string' && idText.test(id)) return
  throw new OptionError({ parameter: 'id', expected: '1 to 128 characters out of A-Z a-z 0-9 . _ : -', got: id })
}

/** Throws a ShapeError unless the type is known, the model named, and the shape whole. */
export function checkFormat(format: KvFormat): void {
  if (!Object.hasOwn(bytesPerValue, format?.type)) {
    throw new ShapeError({ parameter: 'format.type', expected: "'f16' or 'f32'", got: format?.type })
  }
  if (typeof format.model !== 'string' || format.model === '') {
    throw new ShapeError({ parameter: 'format.model', expected: 'the fingerprint of a model', got: format.model })
  }
  validateKvShape(format.shape)
}

/** Bytes of [numKvHeads][keys, values][numTokens][headDim] of one layer. */
export function layerBytes(layer: LayerShape, type: KvFormat['type'], numTokens: number): number {
  return layer.numKvHeads * 2 * numTokens * layer.headDim * bytesPerValue[type]
}

/** Bytes of all layers. */
export function kvBytes({ shape, type }: KvFormat, numTokens: number): number {
  return shape.layers.reduce((sum, layer) => sum + layerBytes(layer, type, numTokens), 0)
}

/** The bytes of a layer as `donor` gives them, checked for their number. Throws a ShapeError. */
export async function readDonorLayer(donor: DonorKv, layer: number, signal?: AbortSignal): Promise<Uint8Array> {
  signal?.throwIfAborted()
  const bytes = await donor.layer(layer, signal)
  signal?.throwIfAborted()
  const { shape, type } = donor.format
  const expected = layerBytes(shape.layers[layer]!, type, donor.tokens.length)
  if (bytes.byteLength === expected) return bytes
  throw new ShapeError({ parameter: `donor.layer(${layer})`, expected: `${expected} bytes`, got: bytes.byteLength })
}
