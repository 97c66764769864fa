import { checkInteger, checkKeys, checkOneOf, OptionError, pageTokens, ShapeError } from '@kvasir/core'
import { checkBuffer, checkLength } from './check-buffer.ts'
import type { AdoptOptions, ExportOptions, KeyTurns } from './kernels.ts'
import { checkEach, checkPages, type PageArena } from './page-arena.ts'
import { ownResource, type ResourceOwner } from './resource.ts'

type ArenaClass<T extends PageArena> = abstract new (...args: never[]) => T

const maxTokens = 2 ** 31 - 1

/** Bytes of `tokens` rows of one layer. */
function layerBytes({ numKvHeads, headDim, type }: PageArena, tokens: number): number {
  return numKvHeads * 2 * tokens * headDim * (type === 'f16' ? 2 : 4)
}

/** The arena of adoptRows; throws unless its arguments fit. */
export function checkAdopt<T extends PageArena>(owner: ResourceOwner, type: ArenaClass<T>, options: AdoptOptions): T {
  const names = ['arena', 'layer', 'source', 'sourceTokens', 'sourceRows', 'slots', 'turns', 'signal']
  checkKeys('adoptRows', options, names)
  const arena = ownResource('arena', options.arena, type, owner)
  checkInteger('layer', options.layer, 0, arena.numLayers - 1)
  checkInteger('sourceTokens', options.sourceTokens, 0, maxTokens)
  checkLayerBytes('source', options.source, arena, options.sourceTokens)
  const slots = checkBuffer('slots', options.slots, Int32Array)
  const sourceRows = checkBuffer('sourceRows', options.sourceRows, Int32Array)
  checkLength('sourceRows', sourceRows, slots.length, 'rows, one for each slot')
  checkEach('sourceRows', sourceRows, sourceRows.length, options.sourceTokens, 'a row of the source')
  checkEach('slots', slots, slots.length, arena.capacityPages * pageTokens, 'a slot of the arena')
  if (options.turns !== undefined) checkTurns(options.turns, arena, slots.length)
  return arena
}

/** The arena of exportRows; throws unless its arguments fit. */
export function checkExport<T extends PageArena>(owner: ResourceOwner, type: ArenaClass<T>, options: ExportOptions): T {
  checkKeys('exportRows', options, ['arena', 'layer', 'pages', 'numTokens', 'out', 'signal'])
  const arena = ownResource('arena', options.arena, type, owner)
  checkInteger('layer', options.layer, 0, arena.numLayers - 1)
  const pages = checkBuffer('pages', options.pages, Int32Array)
  checkInteger('numTokens', options.numTokens, 0, Math.min(maxTokens, pages.length * pageTokens))
  checkPages('pages', pages.subarray(0, Math.ceil(options.numTokens / pageTokens)), arena)
  checkLayerBytes('out', options.out, arena, options.numTokens)
  return arena
}

function checkTurns(turns: KeyTurns, arena: PageArena, rows: number): void {
  checkKeys('turns', turns, ['cos', 'sin', 'pairing', 'rotaryDim', 'rowTurns'])
  checkOneOf('turns.pairing', turns.pairing, ['half', 'interleaved'])
  const rotaryDim = checkInteger('turns.rotaryDim', turns.rotaryDim, 2, arena.headDim)
  if (rotaryDim % 2 !== 0) {
    throw new ShapeError({ parameter: 'turns.rotaryDim', expected: 'an even number', got: rotaryDim })
  }
  const numTurns = checkBuffer('turns.cos', turns.cos, Float32Array).length / (rotaryDim / 2)
  if (!Number.isInteger(numTurns)) {
    const expected = `a multiple of ${rotaryDim / 2} values`
    throw new ShapeError({ parameter: 'turns.cos', expected, got: turns.cos.length })
  }
  checkLength('turns.sin', checkBuffer('turns.sin', turns.sin, Float32Array), turns.cos.length, 'values, as cos')
  const rowTurns = checkBuffer('turns.rowTurns', turns.rowTurns, Int32Array)
  checkLength('turns.rowTurns', rowTurns, rows, 'turns, one for each slot')
  checkEach('turns.rowTurns', rowTurns, rows, numTurns, '-1 or a turn', -1)
}

function checkLayerBytes(parameter: string, bytes: Uint8Array, arena: PageArena, tokens: number): void {
  checkBuffer(parameter, bytes, Uint8Array)
  checkLength(parameter, bytes, layerBytes(arena, tokens), `bytes: ${tokens} rows of a layer`)
  const valueBytes = arena.type === 'f16' ? 2 : 4
  if (bytes.byteOffset % valueBytes === 0) return
  throw new OptionError({
    parameter: `${parameter}.byteOffset`,
    expected: `a multiple of ${valueBytes}, the bytes of a value`,
    got: bytes.byteOffset,
  })
}
