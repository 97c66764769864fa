import type { AttentionMassOp, KvArena, LinearOp, LinearPart, Op, RunLists, Weight } from '@kvasir/kernels'
import type { LlamaConfig } from './config.ts'
import type { LayerWeights, LlamaWeights } from './weights.ts'
import type { Workspace } from './workspace.ts'

/** prefill: many rows of few sequences, dense causal attention. decode: one row a sequence, attention over run lists. */
export type Path = 'prefill' | 'decode'

/** Everything that the ops of one model refer to. */
export interface GraphParts {
  readonly config: LlamaConfig
  readonly weights: LlamaWeights
  readonly arena: KvArena
  readonly lists: RunLists
  readonly workspace: Workspace
  readonly mode: 'exact' | 'fast'
  readonly contextTokens: number
}

/** Token ids -> residual stream. */
function embed({ weights, workspace: { ids, hidden } }: GraphParts, path: Path): Op[] {
  return [{ kind: 'embedRows', table: weights.embedding, ids, out: hidden, rows: rowsOf(path) }]
}

/** Norm, q, k, v, (head norms,) rotation; the new KV rows are stored before attention reads them. */
function projectHeads(graph: GraphParts, layer: number, path: Path): Op[] {
  return [...rotatedHeads(graph, layer, path), storeKv(graph, layer, path)]
}

function storeKv({ arena, workspace: { k, v, slots } }: GraphParts, layer: number, path: Path): Op {
  return { kind: 'writeKv', arena, layer, keys: k, values: v, slots, rows: rowsOf(path) }
}

function rotatedHeads(graph: GraphParts, layer: number, path: Path): Op[] {
  const { config, workspace } = graph
  const { numHeads, numKvHeads, headDim, rmsEps: eps } = config
  const { hidden, normed, q, k, v, cos, sin } = workspace
  const weights = graph.weights.layers[layer] as LayerWeights
  const rows = rowsOf(path)
  const { pairing, rotaryDim } = config.rope
  const headNorm = (x: Float32Array, weight: Float32Array | undefined, groups: number): Op[] =>
    weight ? [{ kind: 'rmsNorm', x, weight, eps, groups, dim: headDim, out: x, rows }] : []
  const rotate = (x: Float32Array, heads: number): Op => ({
    kind: 'rope',
    x,
    cos,
    sin,
    pairing,
    numHeads: heads,
    headDim,
    rotaryDim,
    rows,
  })
  return [
    {
      kind: 'rmsNorm',
      x: hidden,
      weight: weights.attentionNorm,
      eps,
      groups: 1,
      dim: config.hiddenDim,
      out: normed,
      rows,
    },
    linear(graph, path, normed, [
      part(weights.q, q, weights.qBias),
      part(weights.k, k, weights.kBias),
      part(weights.v, v, weights.vBias),
    ]),
    ...headNorm(q, weights.qNorm, numHeads),
    ...headNorm(k, weights.kNorm, numKvHeads),
    rotate(q, numHeads),
    rotate(k, numKvHeads),
  ]
}

interface PrefillAttention {
  /** [tokens][numHeads]: takes the logarithms of the softmax denominators. */
  readonly lse?: Float32Array
  /** [tokens]: index of each row; absent: the last rows. */
  readonly positions?: Int32Array
}

/** Softmax attention: every earlier row in prefill, the rows of the run lists in decode. */
function attend(graph: GraphParts, layer: number, path: Path, prefill: PrefillAttention = {}): Op[] {
  const { config, arena, lists, workspace } = graph
  const { q, attended: out, batch } = workspace
  const { numHeads } = config
  const windowTokens = config.slidingWindow ?? 0
  const shared = { arena, layer, q, numHeads, scale: scaleOf(config), batch }
  if (path === 'prefill') return [{ kind: 'attendPrefill', ...shared, windowTokens, out, ...prefill }]
  return [
    { kind: 'selectRuns', ...shared, windowTokens, lists },
    { kind: 'attendRuns', ...shared, lists, out },
  ]
}

/** Adds to `mass` [numHeads][contextTokens] what rows pay: those of the run, unless others are given. */
export function addMass(
  { config, arena, workspace, contextTokens }: GraphParts,
  layer: number,
  mass: Float32Array,
  rows: Partial<Pick<AttentionMassOp, 'q' | 'batch' | 'lse' | 'positions'>> = {},
): Op {
  const { numHeads } = config
  const { q, batch } = workspace
  const shared = { arena, layer, q, numHeads, scale: scaleOf(config), batch, windowTokens: config.slidingWindow ?? 0 }
  return { kind: 'attentionMass', ...shared, ...rows, mass, massStride: contextTokens }
}

function scaleOf({ headDim }: LlamaConfig): number {
  return 1 / Math.sqrt(headDim)
}

/** Attention output and the gated feed-forward block, each added to the residual stream. */
function feedForward(graph: GraphParts, layer: number, path: Path): Op[] {
  const { config, workspace } = graph
  const { hidden, normed, attended, gate, up } = workspace
  const weights = graph.weights.layers[layer] as LayerWeights
  const rows = rowsOf(path)
  return [
    linear(graph, path, attended, [{ weight: weights.attentionOutput, out: hidden, accumulate: true }]),
    {
      kind: 'rmsNorm',
      x: hidden,
      weight: weights.ffnNorm,
      eps: config.rmsEps,
      groups: 1,
      dim: config.hiddenDim,
      out: normed,
      rows,
    },
    linear(graph, path, normed, [part(weights.gate, gate), part(weights.up, up)]),
    { kind: 'siluGate', gate, up, dim: config.ffnDim, out: gate, rows },
    linear(graph, path, gate, [{ weight: weights.down, out: hidden, accumulate: true }]),
  ]
}

/** Residual rows `outputRows` -> logits. One body for both paths, so that a row's logits do not depend on where it was computed. */
export function head({ config, weights, workspace, mode }: GraphParts): Op[] {
  const { hidden, outputRows, outputHidden, logits } = workspace
  const dim = config.hiddenDim
  const rows = 'outputs'
  return [
    { kind: 'gatherRows', x: hidden, ids: outputRows, dim, out: outputHidden, rows },
    {
      kind: 'rmsNorm',
      x: outputHidden,
      weight: weights.outputNorm,
      eps: config.rmsEps,
      groups: 1,
      dim,
      out: outputHidden,
      rows,
    },
    { kind: 'linear', x: outputHidden, parts: [{ weight: weights.output, out: logits }], rows, path: 'decode', mode },
  ]
}

/** What a prefill leaves beside its result. */
export interface LayerWatch {
  /** [tokens][numHeads]: takes the logarithms of a layer's softmax denominators. */
  readonly lse?: Float32Array
  readonly after: (layer: number) => Op[]
}

/** All layers: embed, then (heads, attention, feed-forward) times numLayers; `watch` adds ops once a layer has attended. */
export function trunk(graph: GraphParts, path: Path, watch: LayerWatch = { after: () => [] }): Op[] {
  const layers = Array.from({ length: graph.config.numLayers }, (_, layer) => [
    ...projectHeads(graph, layer, path),
    ...attend(graph, layer, path, watch.lse ? { lse: watch.lse } : {}),
    ...watch.after(layer),
    ...feedForward(graph, layer, path),
  ])
  return [...embed(graph, path), ...layers.flat()]
}

/** What a layer of a partial prefill leaves beside its result. */
export interface PartialWatch extends PrefillAttention {
  /** [tokens]: index of each row. */
  readonly positions: Int32Array
  /** [tokens][2]: takes how far the rows are from those that stand in their place, and how long they are. */
  readonly distances?: Float32Array
  /** Once the layer has attended. */
  readonly after?: Op
}

/** One layer for rows that need not be neighbours; layer 0 embeds them first. */
export function partialLayer(graph: GraphParts, layer: number, watch: PartialWatch): Op[] {
  const { arena, workspace } = graph
  const { k: keys, v: values, slots } = workspace
  const { positions, lse, distances: out, after } = watch
  const compare: Op[] = out ? [{ kind: 'compareKv', arena, layer, keys, values, slots, out, rows: 'tokens' }] : []
  return [
    ...(layer === 0 ? embed(graph, 'prefill') : []),
    ...rotatedHeads(graph, layer, 'prefill'),
    ...compare,
    storeKv(graph, layer, 'prefill'),
    ...attend(graph, layer, 'prefill', { positions, ...(lse && { lse }) }),
    ...(after ? [after] : []),
    ...feedForward(graph, layer, 'prefill'),
  ]
}

/**
 * The decode step cut before each layer's attention, for policies that choose in JavaScript by that layer's queries:
 * cut 0 ends with layer 0's queries, cut l with layer l's, the last one with the logits.
 */
export function decodeCuts(graph: GraphParts): Op[][] {
  const { numLayers } = graph.config
  return Array.from({ length: numLayers + 1 }, (_, cut) => [
    ...(cut === 0
      ? embed(graph, 'decode')
      : [...attend(graph, cut - 1, 'decode'), ...feedForward(graph, cut - 1, 'decode')]),
    ...(cut === numLayers ? head(graph) : projectHeads(graph, cut, 'decode')),
  ])
}

function linear({ mode }: GraphParts, path: Path, x: Float32Array, parts: LinearPart[]): LinearOp {
  return { kind: 'linear', x, parts, rows: rowsOf(path), path, mode }
}

function part(weight: Weight, out: Float32Array, bias?: Float32Array): LinearPart {
  return bias ? { weight, out, bias } : { weight, out }
}

function rowsOf(path: Path): 'tokens' | 'sequences' {
  return path === 'prefill' ? 'tokens' : 'sequences'
}
