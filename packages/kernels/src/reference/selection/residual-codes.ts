import type { CodeBits } from '../../selection.ts'

const symmetric = (positive: readonly number[]): number[] => [...positive.map((x) => -x).reverse(), ...positive]

/** Edges between the codes of a normalised residual; a residual on an edge takes the upper code. */
const edges: Readonly<Record<CodeBits, readonly number[]>> = {
  0: [],
  1: [0],
  2: [-0.982, 0, 0.982].map(Math.fround),
  4: [...symmetric([0.235, 0.517, 0.799, 1.081, 1.41, 1.833, 2.397]), 0].sort((a, b) => a - b).map(Math.fround),
}

/** Reproduction levels of a normal variable: the best (Max 1960), with 4 bits the best multiples of 0.094. */
const levels: Readonly<Record<CodeBits, readonly number[]>> = {
  0: [0],
  1: symmetric([0.798]),
  2: symmetric([0.453, 1.51]),
  4: symmetric([1, 4, 7, 10, 13, 17, 22, 29].map((steps) => steps * 0.094)),
}

/** Code of a residual r = (k - c) / e. */
export function codeOf(residual: number, bits: CodeBits): number {
  return edges[bits].filter((edge) => residual >= edge).length
}

/** What a code stands for, in standard deviations. */
export function levelOf(code: number, bits: CodeBits): number {
  return levels[bits][code] as number
}

/** The largest level, in standard deviations. */
export function largestLevel(bits: CodeBits): number {
  return levels[bits].at(-1) as number
}
