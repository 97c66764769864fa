import type { KvFormat, LayerShape, Scope } from '@kvasir/core'
import type { DonorReader } from '@kvasir/tier'
import { formatBytes, tableText } from './output.ts'

/** The head of a container of KV rows, as `inspect --json` prints it; token ids by their number alone, for they are a text. */
export function donorFileJson(path: string, file: DonorReader) {
  const { id, scope, format, sealed, fileBytes } = file
  return {
    path,
    kind: 'kv',
    id,
    scope,
    model: format.model,
    type: format.type,
    numTokens: file.tokens.length,
    provenance: 'exact',
    firstPosition: 0,
    sealed,
    fileBytes,
    usedAt: new Date(file.usedAtMs).toISOString(),
    layers: file.layers.map((extent, layer) => ({ ...extent, ...format.shape.layers[layer] })),
  }
}

export function donorFileText(file: DonorReader): string {
  const { id, scope, format, sealed, fileBytes, tokens } = file
  const rows = file.layers.map(({ offset, bytes }, layer) => [
    String(layer),
    ...describeShape(format, layer),
    String(offset),
    formatBytes(bytes),
  ])
  return [
    `KV of ${tokens.length} tokens from position 0 on, exact, ${formatBytes(fileBytes)}, ${sealed ? 'sealed' : 'not sealed'}`,
    '',
    `  donor = ${id}`,
    ...Object.entries(scope satisfies Scope).map(([field, value]) => `  scope.${field} = ${value}`),
    `  format.model = ${JSON.stringify(format.model)}`,
    `  format.type = ${format.type}`,
    `  used = ${new Date(file.usedAtMs).toISOString()}`,
    '',
    `${rows.length} layers`,
    tableText(['layer', 'heads', 'KV heads', 'head dim', 'window', 'RoPE', 'offset', 'size'], rows),
  ].join('\n')
}

function describeShape({ shape }: KvFormat, layer: number): string[] {
  const { numHeads, numKvHeads, headDim, windowTokens, rope } = shape.layers[layer]!
  return [String(numHeads), String(numKvHeads), String(headDim), String(windowTokens ?? 'all'), describeRope(rope)]
}

function describeRope(rope: LayerShape['rope']): string {
  if (rope === null) return 'none'
  const { pairing, rotaryDim, theta, scaling } = rope
  return `${pairing} ${rotaryDim}, theta ${theta}${scaling.kind === 'none' ? '' : `, ${scaling.kind}`}`
}
