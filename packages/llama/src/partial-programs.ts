import type { Kernels, Program } from '@kvasir/kernels'
import { addMass, type GraphParts, partialLayer } from './graph.ts'
import { ofLayers } from './workspace.ts'

/** What is learnt of the rows that a partial prefill computes. `attention` includes `distances`. */
export type PartialWatching = 'nothing' | 'distances' | 'attention'

/** Programs of one layer each, for rows that need not be neighbours, and what they leave. */
export interface PartialPrograms {
  /** [maxRows]: index of each row in its sequence. */
  readonly positions: Int32Array
  /** [maxRows][2]: as compareKv leaves it. */
  readonly distances: Float32Array
  /** [numHeads][contextTokens]: added to by the layers that watch attention. */
  readonly mass: Float32Array
  layer(layer: number, watching: PartialWatching): Program
  dispose(): void
}

export function createPartialPrograms(graph: GraphParts, kernels: Kernels): PartialPrograms {
  const { numHeads } = graph.config
  const { maxRows } = graph.workspace
  const floats = (count: number) => new Float32Array(kernels.allocate(count * 4), 0, count)
  const positions = new Int32Array(kernels.allocate(maxRows * 4), 0, maxRows)
  const distances = floats(maxRows * 2)
  const mass = floats(numHeads * graph.contextTokens)
  const lse = floats(maxRows * numHeads)
  const watches = {
    nothing: () => ({ positions }),
    distances: () => ({ positions, distances }),
    attention: (layer: number) => ({
      positions,
      distances,
      lse,
      after: addMass(graph, layer, mass, { lse, positions }),
    }),
  }
  const scratch = ofLayers(graph.workspace)
  const compiled = new Map<string, Program>()
  return {
    positions,
    distances,
    mass,
    layer(layer, watching) {
      const key = `${layer} ${watching}`
      const program =
        compiled.get(key) ?? kernels.createProgram(partialLayer(graph, layer, watches[watching](layer)), { scratch })
      compiled.set(key, program)
      return program
    },
    dispose() {
      for (const program of compiled.values()) program.dispose()
    },
  }
}
