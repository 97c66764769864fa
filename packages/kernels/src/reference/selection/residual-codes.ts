export type CodeBits = 1 | 2

/** Edges between the codes of a normalised residual; a residual on an edge takes the upper code. */
const edges = { 1: [0], 2: [-0.982, 0, 0.982].map(Math.fround) } as const

/** Best reproduction levels of a normal variable for these edges (Max 1960). */
const levels = { 1: [-0.798, 0.798], 2: [-1.51, -0.453, 0.453, 1.51] } as const

/** Code of a residual r = (k - c) / e. */
export function codeOf(residual: number, bits: CodeBits): number {
  return edges[bits].filter((edge) => residual >= edge).length
}

/** What a code stands for, in standard deviations. */
export function levelOf(code: number, bits: CodeBits): number {
  return levels[bits][code] as number
}
