import type { Batch, Kernels, Op, Program } from '@kvasir/kernels'
import { addMass, type GraphParts, trunk } from './graph.ts'
import { ofLayers } from './workspace.ts'

/** Most rows of a prompt whose queries are kept. */
export const maxWindowTokens = 256

/** Programs and buffers for watching the attention that prompts pay. */
export interface Observer {
  /** Rows of the batch whose queries the next prefill leaves in `queries`. */
  readonly rows: Int32Array
  /** A layer each: [maxWindowTokens][numHeads][headDim] */
  readonly queries: readonly Float32Array[]
  /** A layer each: [numHeads][contextTokens], added to by runs. */
  readonly mass: readonly Float32Array[]
  /** A prefill of one sequence that leaves queries, and with allRows adds the mass of the batch. */
  prefill(allRows: boolean): Program
  /** Adds the mass of `queries` as the rows of `batch`, all layers. */
  readonly ofQueries: Program
  readonly batch: Batch
  dispose(): void
}

export function createObserver(graph: GraphParts, kernels: Kernels): Observer {
  const { config, workspace, contextTokens } = graph
  const { numLayers, numHeads, headDim } = config
  const width = numHeads * headDim
  const ints = (count: number) => new Int32Array(kernels.allocate(count * 4), 0, count)
  const layers = (count: number) =>
    Array.from({ length: numLayers }, () => new Float32Array(kernels.allocate(count * 4), 0, count))
  const rows = ints(maxWindowTokens)
  const queries = layers(maxWindowTokens * width)
  const mass = layers(numHeads * contextTokens)
  const batch = {
    rowStarts: ints(2),
    contextTokens: ints(1),
    pageStarts: ints(2),
    pages: ints(Math.ceil(contextTokens / 16)),
  }
  const lse = new Float32Array(kernels.allocate(workspace.maxRows * numHeads * 4), 0, workspace.maxRows * numHeads)
  const keepQueries = (layer: number): Op => ({
    kind: 'gatherRows',
    x: workspace.q,
    ids: rows,
    dim: width,
    out: queries[layer] as Float32Array,
    rows: 'outputs',
  })
  const scratch = ofLayers(workspace)
  const compiled = new Map<boolean, Program>()
  const ofQueries = kernels.createProgram(queries.map((q, layer) => addMass(graph, layer, mass[layer], { q, batch })))
  return {
    rows,
    queries,
    mass,
    batch,
    ofQueries,
    prefill(allRows) {
      const after = (layer: number) => [
        keepQueries(layer),
        ...(allRows ? [addMass(graph, layer, mass[layer], { lse })] : []),
      ]
      const watch = allRows ? { lse, after } : { after }
      const program = compiled.get(allRows) ?? kernels.createProgram(trunk(graph, 'prefill', watch), { scratch })
      compiled.set(allRows, program)
      return program
    },
    dispose() {
      for (const program of [ofQueries, ...compiled.values()]) program.dispose()
    },
  }
}
