import {
  headDim,
  hiddenWidth,
  numHeads,
  numKvHeads,
  type ToyLayer,
  type ToyWeights,
  theta,
  vocabSize,
  width,
} from './toy-weights.ts'

/**
 * Rows of one layer, one array a token: queries [numHeads][headDim] of those that a prefill computed, KV
 * [numKvHeads][headDim]. Rows are replaced, never changed.
 */
export interface ToyRows {
  readonly queries: Float32Array[]
  readonly keys: Float32Array[]
  readonly values: Float32Array[]
}

/** Hidden state of one token [width]. */
export function embed(weights: ToyWeights, token: number): Float64Array {
  return Float64Array.from(weights.embedding.subarray(token * width, (token + 1) * width))
}

/** Rotated queries [numHeads][headDim] and the KV row of one token at one layer. */
export function project(layer: ToyLayer, hidden: Float64Array, position: number) {
  const input = normalise(hidden)
  const queries = Float32Array.from(multiply(layer.query, input, width))
  const keys = Float32Array.from(multiply(layer.key, input, numKvHeads * headDim))
  const values = Float32Array.from(multiply(layer.value, input, numKvHeads * headDim))
  return { queries: turn(queries, position), keys: turn(keys, position), values }
}

/** Rotates each head of x [heads][headDim] by `positions` positions (half pairing), returning a new array. */
export function turn(x: Float32Array, positions: number): Float32Array {
  const half = headDim / 2
  const turned = new Float32Array(x.length)
  for (let start = 0; start < x.length; start += headDim) {
    for (let pair = 0; pair < half; pair++) {
      const angle = positions * theta ** (-pair / half)
      const [a, b] = [x[start + pair], x[start + pair + half]]
      turned[start + pair] = a * Math.cos(angle) - b * Math.sin(angle)
      turned[start + pair + half] = a * Math.sin(angle) + b * Math.cos(angle)
    }
  }
  return turned
}

/** Softmax attention of queries [numHeads][headDim], each head over the rows that `indicesOf` names: [numHeads][headDim]. */
export function attend(
  queries: Float32Array,
  rows: Pick<ToyRows, 'keys' | 'values'>,
  indicesOf: (head: number) => ArrayLike<number>,
): Float64Array {
  const mixed = new Float64Array(width)
  for (let head = 0; head < numHeads; head++) {
    const indices = indicesOf(head)
    const weights = attentionWeights(queries, head, rows.keys, indices)
    const [from, to] = [head * headDim, kvHeadOf(head) * headDim]
    for (let at = 0; at < indices.length; at++) {
      const row = rows.values[indices[at]]
      for (let i = 0; i < headDim; i++) mixed[from + i] += weights[at] * row[to + i]
    }
  }
  return mixed
}

/** Softmax weights of one query head over the rows `indices` alone. */
export function attentionWeights(
  queries: Float32Array,
  head: number,
  keys: readonly Float32Array[],
  indices: ArrayLike<number>,
): Float64Array {
  const [from, to] = [head * headDim, kvHeadOf(head) * headDim]
  const weights = Float64Array.from(indices, (index) => {
    let score = 0
    for (let i = 0; i < headDim; i++) score += queries[from + i] * keys[index][to + i]
    return score / Math.sqrt(headDim)
  })
  const top = Math.max(...weights)
  let total = 0
  for (let at = 0; at < weights.length; at++) {
    weights[at] = Math.exp(weights[at] - top)
    total += weights[at]
  }
  return weights.map((weight) => weight / total)
}

/** The KV head that a query head reads. */
export function kvHeadOf(head: number): number {
  return Math.floor(head / (numHeads / numKvHeads))
}

/** The rest of a layer: output projection, then the feed-forward block, each added to the hidden state. */
export function finishLayer(layer: ToyLayer, hidden: Float64Array, mixed: Float64Array): Float64Array {
  const attended = add(hidden, multiply(layer.output, mixed, width))
  const up = multiply(layer.up, normalise(attended), hiddenWidth).map((value) => Math.max(0, value))
  return add(attended, multiply(layer.down, up, width))
}

/** [vocabSize] */
export function logitsOf(weights: ToyWeights, hidden: Float64Array): Float32Array {
  return Float32Array.from(multiply(weights.head, normalise(hidden), vocabSize))
}

function normalise(x: Float64Array): Float64Array {
  let squares = 0
  for (let i = 0; i < x.length; i++) squares += x[i] * x[i]
  const norm = Math.sqrt(squares / x.length + 1e-6)
  return x.map((value) => value / norm)
}

function multiply(matrix: Float32Array, x: Float64Array, rows: number): Float64Array {
  const y = new Float64Array(rows)
  for (let row = 0; row < rows; row++) {
    let sum = 0
    for (let col = 0; col < x.length; col++) sum += matrix[row * x.length + col] * x[col]
    y[row] = sum
  }
  return y
}

function add(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value + b[i])
}
