import { ShapeError } from './errors.ts'
import type { KvShape, LayerShape } from './kv-shape.ts'
import type { RopeScaling, RopeSpec } from './rope-spec.ts'

/** Throws a ShapeError unless there are layers and each is whole: integers >= 1, KV heads that divide the heads, RoPE that fits. */
export function validateKvShape(shape: KvShape): void {
  if (!Array.isArray(shape?.layers) || shape.layers.length === 0) {
    throw new ShapeError({ parameter: 'shape.layers', expected: 'at least one layer', got: shape?.layers })
  }
  shape.layers.forEach(validateLayer)
}

function validateLayer(layer: LayerShape, index: number): void {
  const owner = `shape.layers[${index}]`
  for (const field of ['numHeads', 'numKvHeads', 'headDim'] as const) checkCount(`${owner}.${field}`, layer[field])
  if (layer.windowTokens !== undefined) checkCount(`${owner}.windowTokens`, layer.windowTokens)
  if (layer.numHeads % layer.numKvHeads !== 0) {
    const expected = `a divisor of numHeads = ${layer.numHeads}`
    throw new ShapeError({ parameter: `${owner}.numKvHeads`, expected, got: layer.numKvHeads })
  }
  if (layer.rope === null) return
  validateRopeSpec(layer.rope, `${owner}.rope`)
  if (layer.rope.rotaryDim > layer.headDim) {
    const expected = `at most headDim = ${layer.headDim}`
    throw new ShapeError({ parameter: `${owner}.rope.rotaryDim`, expected, got: layer.rope.rotaryDim })
  }
}

/** Throws a ShapeError unless pairing is named, rotaryDim even, and theta and all factors of the scaling are numbers > 0. */
export function validateRopeSpec(spec: RopeSpec, owner = 'rope'): void {
  if (spec?.pairing !== 'half' && spec?.pairing !== 'interleaved') {
    throw new ShapeError({
      parameter: `${owner}.pairing`,
      expected: "'half' or 'interleaved'",
      got: spec?.pairing,
      remedy: 'Hugging Face checkpoints use half; GGUF files of the llama architecture are permuted to interleaved.',
    })
  }
  checkCount(`${owner}.rotaryDim`, spec.rotaryDim)
  if (spec.rotaryDim % 2 !== 0) {
    throw new ShapeError({ parameter: `${owner}.rotaryDim`, expected: 'an even number', got: spec.rotaryDim })
  }
  checkPositive(`${owner}.theta`, spec.theta)
  validateScaling(spec.scaling, spec.rotaryDim / 2, `${owner}.scaling`)
}

/** Numbers of each kind of scaling; lists have one value a pair. */
const scalingFields: Record<RopeScaling['kind'], { numbers: readonly string[]; lists: readonly string[] }> = {
  none: { numbers: [], lists: [] },
  linear: { numbers: ['factor'], lists: [] },
  llama3: { numbers: ['factor', 'lowFrequencyFactor', 'highFrequencyFactor', 'originalContextTokens'], lists: [] },
  divisors: { numbers: [], lists: ['divisors'] },
  yarn: { numbers: ['factor', 'originalContextTokens', 'betaFast', 'betaSlow', 'attentionFactor'], lists: [] },
  'dynamic-ntk': { numbers: ['factor', 'originalContextTokens'], lists: [] },
  longrope: { numbers: ['originalContextTokens', 'attentionFactor'], lists: ['shortFactors', 'longFactors'] },
}

function validateScaling(scaling: RopeScaling, numPairs: number, owner: string): void {
  if (!Object.hasOwn(scalingFields, scaling?.kind)) {
    const expected = `one of ${Object.keys(scalingFields).join(', ')}`
    throw new ShapeError({ parameter: `${owner}.kind`, expected, got: scaling?.kind })
  }
  const fields = scalingFields[scaling.kind]
  const values = scaling as unknown as Record<string, unknown>
  for (const name of fields.numbers) checkPositive(`${owner}.${name}`, values[name])
  for (const name of fields.lists) {
    const list = values[name]
    if (!Array.isArray(list) || list.length !== numPairs) {
      throw new ShapeError({ parameter: `${owner}.${name}`, expected: `${numPairs} numbers, one a pair`, got: list })
    }
    for (const [pair, value] of list.entries()) checkPositive(`${owner}.${name}[${pair}]`, value)
  }
  if (scaling.kind === 'llama3' && scaling.highFrequencyFactor <= scaling.lowFrequencyFactor) {
    const expected = `more than lowFrequencyFactor = ${scaling.lowFrequencyFactor}`
    throw new ShapeError({ parameter: `${owner}.highFrequencyFactor`, expected, got: scaling.highFrequencyFactor })
  }
  if (scaling.kind === 'yarn' && scaling.betaFast <= scaling.betaSlow) {
    const expected = `more than betaSlow = ${scaling.betaSlow}`
    throw new ShapeError({ parameter: `${owner}.betaFast`, expected, got: scaling.betaFast })
  }
}

function checkCount(parameter: string, value: unknown): void {
  if (!Number.isSafeInteger(value) || (value as number) < 1) {
    throw new ShapeError({ parameter, expected: 'an integer >= 1', got: value })
  }
}

function checkPositive(parameter: string, value: unknown): void {
  if (typeof value !== 'number' || !(value > 0) || !Number.isFinite(value)) {
    throw new ShapeError({ parameter, expected: 'a number > 0', got: value })
  }
}
