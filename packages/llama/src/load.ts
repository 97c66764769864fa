import { type KvFormat, pageTokens } from '@kvasir/core'
import { type Kernels, type KvArena, loadKernels, type Program } from '@kvasir/kernels'
import { readChatTemplate } from './chat.ts'
import { type LlamaConfig, readConfig } from './config.ts'
import type { EngineParts, Programs } from './engine-parts.ts'
import { checkTensors } from './expected-tensors.ts'
import { fingerprint } from './fingerprint.ts'
import { openGguf } from './gguf/gguf-file.ts'
import { decodeCuts, type GraphParts, head, trunk } from './graph.ts'
import { LlamaModel } from './model.ts'
import { createRowWriter, type RowWriter } from './moved-rows.ts'
import { createObserver, type Observer } from './observer.ts'
import { checkOptionKeys, type LlamaOptions, type ResolvedOptions, resolveOptions } from './options.ts'
import { PagePool } from './page-pool.ts'
import { createPartialPrograms, type PartialPrograms } from './partial-programs.ts'
import { PrefixCache } from './prefix-cache.ts'
import { engineProfile, kvShape } from './profile.ts'
import { readTokenizer } from './tokenizer/read-tokenizer.ts'
import { disposeWeights, type LlamaWeights, loadWeights } from './weights.ts'
import { createWorkspace, ofLayers } from './workspace.ts'

/** Opens a GGUF model of the Llama family. Throws GgufError or ModelError with the reason why a file cannot be used. */
export async function loadLlama(options: LlamaOptions): Promise<LlamaModel> {
  checkOptionKeys(options)
  await using file = await openGguf(options.model)
  const config = await readConfig(file)
  checkTensors(file, config)
  const resolved = resolveOptions(options, config.contextTokens)
  const tokenizer = readTokenizer(file)
  const chatTemplate = readChatTemplate(file)
  const kernels = options.kernels ?? (await loadKernels())
  const ownsKernels = options.kernels === undefined
  const made: { dispose(): void }[] = []
  try {
    const weights = await loadWeights(file, config, kernels)
    made.push({ dispose: () => disposeWeights(weights) })
    const arena = createArena(config, resolved, kernels)
    made.push(arena)
    const format = resolved.donors && { model: await fingerprint(file), type: resolved.kvType, shape: kvShape(config) }
    const parts = buildParts(config, resolved, kernels, weights, arena, format)
    return new LlamaModel({ parts, weights, tokenizer, chatTemplate, resolved, ownsKernels })
  } catch (error) {
    for (const one of made.reverse()) one.dispose()
    if (ownsKernels) await kernels.dispose()
    throw error
  }
}

function createArena(
  { numLayers, numKvHeads, headDim }: LlamaConfig,
  { kvCapacityTokens, kvType, kvTier }: ResolvedOptions,
  kernels: Kernels,
): KvArena {
  const capacityPages = pagesOf(kvCapacityTokens)
  return kernels.createArena({
    numLayers,
    numKvHeads,
    headDim,
    capacityPages,
    type: kvType,
    ...(kvTier && { tier: kvTier }),
  })
}

function pagesOf(numTokens: number): number {
  return Math.ceil(numTokens / pageTokens)
}

function buildParts(
  config: LlamaConfig,
  options: ResolvedOptions,
  kernels: Kernels,
  weights: LlamaWeights,
  arena: KvArena,
  format: KvFormat | null,
): EngineParts {
  const { numHeads, numKvHeads } = config
  const { contextTokens, maxBatch, chunkTokens, mode } = options
  const lists = kernels.createRunLists(maxBatch, numKvHeads, numHeads)
  const workspace = createWorkspace(kernels, config, Math.max(chunkTokens, maxBatch), maxBatch, pagesOf(contextTokens))
  const graph: GraphParts = { config, weights, arena, lists, workspace, mode, contextTokens }
  const pool = new PagePool(pagesOf(options.kvCapacityTokens))
  return {
    config,
    profile: engineProfile(config, kernels, contextTokens, format),
    kernels,
    arena,
    embedding: weights.embedding,
    donors: options.donors,
    lists,
    pool,
    prefixCache: new PrefixCache(pool),
    workspace,
    programs: compile(graph, kernels),
    chunkTokens,
    contextTokens,
  }
}

function compile(graph: GraphParts, kernels: Kernels): Programs {
  const { outputHidden } = graph.workspace
  const scratch = ofLayers(graph.workspace)
  const prefill = kernels.createProgram(trunk(graph, 'prefill'), { scratch })
  const decodeOps = [...trunk(graph, 'decode'), ...head(graph)]
  const decode = kernels.createProgram(decodeOps, { scratch: [...scratch, outputHidden] })
  const logits = kernels.createProgram(head(graph), { scratch: [outputHidden] })
  let cuts: readonly Program[] = []
  let observer: Observer | undefined
  let rowWriter: RowWriter | undefined
  let partial: PartialPrograms | undefined
  return {
    prefill,
    decode,
    head: logits,
    cuts: () => {
      if (cuts.length === 0) cuts = decodeCuts(graph).map((ops) => kernels.createProgram(ops))
      return cuts
    },
    observer: () => (observer ??= createObserver(graph, kernels)),
    rowWriter: () => (rowWriter ??= createRowWriter(graph, kernels)),
    partial: () => (partial ??= createPartialPrograms(graph, kernels)),
    dispose: () => {
      for (const program of [prefill, decode, logits, ...cuts]) program.dispose()
      observer?.dispose()
      rowWriter?.program.dispose()
      partial?.dispose()
    },
  }
}
