import { describe, expect, it } from 'vitest'
import { fixturePath, modelPath, readFixture } from '../test-fixtures/fixtures.ts'
import { readConfig } from './config.ts'
import { checkTensors, expectedTensors } from './expected-tensors.ts'
import { type GgufFile, openGguf } from './gguf/gguf-file.ts'
import type { GgufValue } from './gguf/header.ts'
import type { TensorInfo } from './gguf/tensor-table.ts'
import { ModelError } from './model-error.ts'

async function configOf(path: string) {
  await using file = await openGguf(path)
  const config = await readConfig(file)
  checkTensors(file, config)
  return config
}

/** A small file with other metadata; `undefined` removes a key. */
async function altered(
  name: string,
  changes: Readonly<Record<string, GgufValue | undefined>>,
  tensors: (table: Map<string, TensorInfo>) => void = () => {},
) {
  await using file = await openGguf(fixturePath(`gguf/${name}.gguf`))
  const metadata = new Map(file.metadata)
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) metadata.delete(key)
    else metadata.set(key, value)
  }
  const table = new Map(file.tensors)
  tensors(table)
  const changed = { metadata, tensors: table, readTensor: file.readTensor.bind(file) } as Partial<GgufFile> as GgufFile
  const config = await readConfig(changed)
  checkTensors(changed, config)
  return config
}

const PLAIN = { kind: 'none' }

describe('readConfig', () => {
  it('reads a llama model', async () => {
    expect(await configOf(fixturePath('gguf/llama-Q4_K.gguf'))).toEqual({
      architecture: 'llama',
      numLayers: 2,
      hiddenDim: 256,
      ffnDim: 512,
      numHeads: 4,
      numKvHeads: 2,
      headDim: 64,
      contextTokens: 128,
      vocabSize: 512,
      rmsEps: Math.fround(1e-5),
      rope: { pairing: 'interleaved', rotaryDim: 64, theta: 10_000, scaling: PLAIN },
      qkvBias: false,
      qkNorm: false,
      tiedOutput: false,
      slidingWindow: null,
    })
  })

  it('reads the frequency divisors of a llama 3 model', async () => {
    const config = await configOf(fixturePath('gguf/llama3rope-F16.gguf'))
    expect(config).toMatchObject({ tiedOutput: true, headDim: 64, rope: { theta: 500_000 } })
    const { scaling } = config.rope
    if (scaling.kind !== 'divisors') throw new Error(scaling.kind)
    expect(scaling.divisors.length).toBe(32)
    // Llama 3's rule for factor 8, low 1, high 4, original context 64: short waves stay, long ones are divided by 8.
    scaling.divisors.forEach((divisor, pair) => {
      const wave = 2 * Math.PI * 500_000 ** (pair / 32)
      const blend = Math.min(1, Math.max(0, (64 / wave - 1) / 3))
      expect(divisor).toBeCloseTo(1 / ((1 - blend) / 8 + blend), 4)
    })
  })

  it('reads qwen2 with biases and qwen3 with head norms', async () => {
    const qwen2 = await configOf(fixturePath('gguf/qwen2-Q8_0.gguf'))
    expect(qwen2).toMatchObject({ architecture: 'qwen2', qkvBias: true, qkNorm: false, tiedOutput: true, headDim: 32 })
    expect(qwen2.rope).toEqual({ pairing: 'half', rotaryDim: 32, theta: 1_000_000, scaling: PLAIN })
    const qwen3 = await configOf(fixturePath('gguf/qwen3-F16.gguf'))
    expect(qwen3).toMatchObject({ architecture: 'qwen3', qkvBias: false, qkNorm: true, hiddenDim: 128, headDim: 64 })
  })

  it.skipIf(modelPath === null)('reads the bundled model', async () => {
    expect(await configOf(modelPath!)).toMatchObject({
      numLayers: 30,
      hiddenDim: 576,
      ffnDim: 1536,
      numHeads: 9,
      numKvHeads: 3,
      headDim: 64,
      contextTokens: 8192,
      vocabSize: 49_152,
      tiedOutput: true,
      rope: { theta: 100_000, pairing: 'interleaved' },
    })
  })

  it('reads a sliding window, and mistral like llama', async () => {
    expect(await altered('micro-F16', { 'llama.attention.sliding_window': 64 })).toMatchObject({ slidingWindow: 64 })
    await using file = await openGguf(fixturePath('gguf/micro-F16.gguf'))
    const renamed = [...file.metadata].map(([key, value]) => [key.replace('llama.', 'mistral.'), value])
    const config = await altered('micro-F16', { ...Object.fromEntries(renamed), 'general.architecture': 'mistral' })
    expect(config).toMatchObject({ architecture: 'mistral', rope: { pairing: 'interleaved' } })
  })

  it('has one KV head a query head where the file names none', async () => {
    const wide = (table: Map<string, TensorInfo>) => {
      for (const name of ['blk.0.attn_k.weight', 'blk.0.attn_v.weight']) {
        table.set(name, { ...table.get('blk.0.attn_q.weight')!, name })
      }
    }
    const config = await altered('micro-F16', { 'llama.attention.head_count_kv': undefined }, wide)
    expect(config.numKvHeads).toBe(2)
  })

  it('reads linear and YaRN scaling', async () => {
    const scalingOf = async (changes: Record<string, GgufValue>) => (await altered('micro-F16', changes)).rope.scaling
    const type = 'llama.rope.scaling.type'
    const factor = 'llama.rope.scaling.factor'
    expect(await scalingOf({ [type]: 'linear', [factor]: 4 })).toEqual({ kind: 'linear', factor: 4 })
    expect(await scalingOf({ [factor]: 4 })).toEqual({ kind: 'linear', factor: 4 })
    expect(await scalingOf({ 'llama.rope.scale_linear': 2 })).toEqual({ kind: 'linear', factor: 2 })
    expect(await scalingOf({ [type]: 'none', [factor]: 4 })).toEqual(PLAIN)
    expect(await scalingOf({ [type]: 'linear', [factor]: 0 })).toEqual(PLAIN)
    const yarn = { [type]: 'yarn', [factor]: 4, 'llama.rope.scaling.original_context_length': 32 }
    expect(await scalingOf(yarn)).toEqual({
      kind: 'yarn',
      factor: 4,
      originalContextTokens: 32,
      betaFast: 32,
      betaSlow: 1,
      attentionFactor: 0.1 * Math.log(4) + 1,
    })
    const tuned = { ...yarn, 'llama.rope.scaling.attn_factor': 0.5, 'llama.rope.scaling.yarn_beta_fast': 16 }
    expect(await scalingOf(tuned)).toMatchObject({ betaFast: 16, attentionFactor: 0.05 * Math.log(4) + 0.5 })
  })
})

describe('unusable models', () => {
  const index = readFixture<{ file: string; level: string }[]>('gguf/broken/index.json')
  const KINDS = {
    'missing-tensor': 'missing-tensor',
    'missing-key': 'missing-key',
    'wrong-shape': 'wrong-shape',
    'wrong-key-type': 'wrong-key-type',
    'head-count-0': 'bad-value',
    'block-count-huge': 'bad-value',
  }

  it('are all known here', () => {
    const files = index.filter(({ level }) => level === 'model').map(({ file }) => file.replace('.gguf', ''))
    expect(files.toSorted()).toEqual(Object.keys(KINDS).toSorted())
  })

  it.each(Object.entries(KINDS))('%s is refused', async (name, kind) => {
    await expect(configOf(fixturePath(`gguf/broken/${name}.gguf`))).rejects.toMatchObject({ name: 'ModelError', kind })
  })

  it.each<[string, string, GgufValue, string]>([
    ['another architecture', 'general.architecture', 'gpt2', 'unsupported-architecture'],
    ['an inherited name as architecture', 'general.architecture', 'toString', 'unsupported-architecture'],
    ['experts', 'llama.expert_count', 8, 'unsupported-feature'],
    ['attention to both sides', 'llama.attention.causal', false, 'unsupported-feature'],
    ['an unknown scaling', 'llama.rope.scaling.type', 'longrope', 'unsupported-feature'],
    ['KV heads that do not divide the heads', 'llama.attention.head_count_kv', 3, 'bad-value'],
    ['values longer than keys', 'llama.attention.value_length', 32, 'bad-value'],
    ['an odd rotary width', 'llama.rope.dimension_count', 5, 'bad-value'],
    ['a rotary width beyond the head', 'llama.rope.dimension_count', 18, 'bad-value'],
    ['another vocabulary size than the embedding', 'llama.vocab_size', 63, 'bad-value'],
    ['another number of tokens than the embedding', 'tokenizer.ggml.tokens', ['a'], 'bad-value'],
    ['a NaN epsilon', 'llama.attention.layer_norm_rms_epsilon', Number.NaN, 'bad-value'],
    ['an infinite theta', 'llama.rope.freq_base', Number.POSITIVE_INFINITY, 'bad-value'],
    ['a context of 2^60', 'llama.context_length', 2n ** 60n, 'wrong-key-type'],
    ['head counts a layer', 'llama.attention.head_count', Int32Array.of(2), 'wrong-key-type'],
  ])('refuses %s', async (_, key, value, kind) => {
    const error = await altered('micro-F16', { [key]: value }).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(ModelError)
    expect(error).toMatchObject({ kind })
  })

  it('refuses a head count that does not divide the width', async () => {
    const changes = { 'llama.attention.head_count': 3, 'llama.attention.key_length': undefined }
    await expect(altered('micro-F16', changes)).rejects.toMatchObject({ kind: 'bad-value' })
  })

  it('refuses tensors that the graph would not read, and vectors in other types', async () => {
    const copy = (from: string, to: string) => (table: Map<string, TensorInfo>) => {
      table.set(to, { ...table.get(from)!, name: to })
    }
    const extra = altered('micro-F16', {}, copy('blk.0.attn_norm.weight', 'blk.0.ffn_gate.bias'))
    await expect(extra).rejects.toMatchObject({ kind: 'unexpected-tensor', parameter: 'blk.0.ffn_gate.bias' })
    const half = altered('micro-F16', {}, (table) => {
      table.set('output_norm.weight', { ...table.get('output_norm.weight')!, type: 'F16' })
    })
    await expect(half).rejects.toMatchObject({ kind: 'wrong-tensor-type' })
    const biases = altered('micro-F16', {}, copy('output_norm.weight', 'blk.0.attn_q.bias'))
    await expect(biases).rejects.toMatchObject({ kind: expect.stringMatching('missing-tensor|wrong-shape') })
  })

  it('refuses divisors of the wrong length, and beside another scaling', async () => {
    const shorter = altered('llama3rope-F16', {}, (table) => {
      table.set('rope_freqs.weight', { ...table.get('rope_freqs.weight')!, shape: [16] })
    })
    await expect(shorter).rejects.toMatchObject({ kind: 'wrong-shape' })
    const twice = altered('llama3rope-F16', { 'llama.rope.scaling.factor': 2 })
    await expect(twice).rejects.toMatchObject({ kind: 'unsupported-feature' })
  })
})

describe('expectedTensors', () => {
  it.each(['llama-Q4_0', 'llama3rope-Q8_0', 'qwen2-F16', 'qwen3-Q8_0', 'micro-F16'])(
    'names exactly the tensors of %s',
    async (name) => {
      await using file = await openGguf(fixturePath(`gguf/${name}.gguf`))
      const names = [...expectedTensors(await readConfig(file)).keys()]
      expect(names.toSorted()).toEqual([...file.tensors.keys()].toSorted())
    },
  )
})
