import { OptionError, ShapeError } from '@kvasir/core'

type BufferClass<T> = abstract new (...args: never[]) => T

/** Throws unless it is an array of this class whose memory stays where it is. */
export function checkBuffer<T extends ArrayBufferView>(parameter: string, array: unknown, type: BufferClass<T>): T {
  if (!(array instanceof type)) throw new OptionError({ parameter, expected: `a ${type.name}`, got: array })
  if (!(array.buffer instanceof ArrayBuffer) || (array.buffer as { resizable?: boolean }).resizable) {
    throw new OptionError({ parameter, expected: 'memory of fixed length, not shared', got: array.buffer })
  }
  return array
}

/** Throws unless the array holds `length` values. */
export function checkLength(parameter: string, array: { readonly length: number }, length: number, what: string): void {
  if (array.length === length) return
  throw new ShapeError({ parameter, expected: `${length} ${what}`, got: array.length })
}
