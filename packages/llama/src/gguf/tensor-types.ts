/** How the values of a tensor are stored: `blockSize` neighbouring values of a row share `bytesPerBlock` bytes. */
export interface TensorType {
  /** Number in the file. */
  readonly id: number
  readonly blockSize: number
  readonly bytesPerBlock: number
}

/** Every type that the format still defines. */
export const TENSOR_TYPES = {
  F32: { id: 0, blockSize: 1, bytesPerBlock: 4 },
  F16: { id: 1, blockSize: 1, bytesPerBlock: 2 },
  Q4_0: { id: 2, blockSize: 32, bytesPerBlock: 18 },
  Q4_1: { id: 3, blockSize: 32, bytesPerBlock: 20 },
  Q5_0: { id: 6, blockSize: 32, bytesPerBlock: 22 },
  Q5_1: { id: 7, blockSize: 32, bytesPerBlock: 24 },
  Q8_0: { id: 8, blockSize: 32, bytesPerBlock: 34 },
  Q8_1: { id: 9, blockSize: 32, bytesPerBlock: 36 },
  Q2_K: { id: 10, blockSize: 256, bytesPerBlock: 84 },
  Q3_K: { id: 11, blockSize: 256, bytesPerBlock: 110 },
  Q4_K: { id: 12, blockSize: 256, bytesPerBlock: 144 },
  Q5_K: { id: 13, blockSize: 256, bytesPerBlock: 176 },
  Q6_K: { id: 14, blockSize: 256, bytesPerBlock: 210 },
  Q8_K: { id: 15, blockSize: 256, bytesPerBlock: 292 },
  IQ2_XXS: { id: 16, blockSize: 256, bytesPerBlock: 66 },
  IQ2_XS: { id: 17, blockSize: 256, bytesPerBlock: 74 },
  IQ3_XXS: { id: 18, blockSize: 256, bytesPerBlock: 98 },
  IQ1_S: { id: 19, blockSize: 256, bytesPerBlock: 50 },
  IQ4_NL: { id: 20, blockSize: 32, bytesPerBlock: 18 },
  IQ3_S: { id: 21, blockSize: 256, bytesPerBlock: 110 },
  IQ2_S: { id: 22, blockSize: 256, bytesPerBlock: 82 },
  IQ4_XS: { id: 23, blockSize: 256, bytesPerBlock: 136 },
  I8: { id: 24, blockSize: 1, bytesPerBlock: 1 },
  I16: { id: 25, blockSize: 1, bytesPerBlock: 2 },
  I32: { id: 26, blockSize: 1, bytesPerBlock: 4 },
  I64: { id: 27, blockSize: 1, bytesPerBlock: 8 },
  F64: { id: 28, blockSize: 1, bytesPerBlock: 8 },
  IQ1_M: { id: 29, blockSize: 256, bytesPerBlock: 56 },
  BF16: { id: 30, blockSize: 1, bytesPerBlock: 2 },
  TQ1_0: { id: 34, blockSize: 256, bytesPerBlock: 54 },
  TQ2_0: { id: 35, blockSize: 256, bytesPerBlock: 66 },
  MXFP4: { id: 39, blockSize: 32, bytesPerBlock: 17 },
} as const satisfies Readonly<Record<string, TensorType>>

export type TensorTypeName = keyof typeof TENSOR_TYPES

/** Numbers that once had a meaning: types dropped from the format, whose bytes nothing can read any more. */
export const REMOVED_TENSOR_TYPES: Readonly<Record<number, string>> = {
  4: 'Q4_2',
  5: 'Q4_3',
  31: 'Q4_0_4_4',
  32: 'Q4_0_4_8',
  33: 'Q4_0_8_8',
  36: 'IQ4_NL_4_4',
  37: 'IQ4_NL_4_8',
  38: 'IQ4_NL_8_8',
}

/** The type with this number, null where there is none. */
export function tensorTypeName(id: number): TensorTypeName | null {
  const names = Object.keys(TENSOR_TYPES) as TensorTypeName[]
  return names.find((name) => TENSOR_TYPES[name].id === id) ?? null
}
