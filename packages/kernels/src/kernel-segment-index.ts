import { checkInteger, checkKeys, checkOneOf, OptionError, pageTokens, ShapeError } from '@kvasir/core'
import { KernelError } from './errors.ts'
import type { KvArena } from './kernels.ts'
import { checkPages, PageArena } from './page-arena.ts'
import { holding, ownResource, Resource, type ResourceOwner } from './resource.ts'
import type {
  CodeBits,
  SegmentBasis,
  SegmentIndex,
  SegmentIndexContents,
  SegmentIndexOptions,
  SequenceKv,
  VectorBits,
} from './selection.ts'

export const bases = ['channels', 'principal'] as const satisfies SegmentBasis[]

/** Options of an index, complete. */
export type SegmentIndexShape = {
  readonly [K in keyof SegmentIndexOptions]-?: Exclude<SegmentIndexOptions[K], undefined>
}

const optionNames = ['numLayers', 'numKvHeads', 'headDim', 'codeBits', 'vectorBits', 'basis']

/** What segment indexes of all backends share: options and checks. */
export abstract class KernelSegmentIndex extends Resource implements SegmentIndex {
  readonly numLayers: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly codeBits: CodeBits
  readonly vectorBits: VectorBits
  readonly basis: SegmentBasis

  constructor(owner: ResourceOwner, options: SegmentIndexOptions) {
    super(owner)
    checkKeys('createSegmentIndex', options, optionNames)
    this.numLayers = checkInteger('numLayers', options.numLayers, 1, 4096)
    this.numKvHeads = checkInteger('numKvHeads', options.numKvHeads, 1, 4096)
    this.headDim = checkInteger('headDim', options.headDim, 1, 512)
    this.codeBits = checkBits('codeBits', options.codeBits ?? 2, [0, 1, 2, 4])
    this.vectorBits = checkBits('vectorBits', options.vectorBits ?? 8, [8, 16])
    this.basis = resolveBasis(options.basis, this.codeBits)
  }

  abstract readonly numSegments: number
  abstract readonly numTokens: number
  abstract readonly bytes: number

  async extend(kv: SequenceKv, ends: Int32Array): Promise<void> {
    this.assertAlive('index')
    const arena = ownResource('kv.arena', kv.arena, PageArena, this.owner)
    this.checkShape('kv.arena', arena)
    this.checkEnds(ends)
    const last = ends.length === 0 ? 0 : (ends[ends.length - 1] as number)
    const pages = kv.pages.subarray(0, Math.ceil(last / pageTokens))
    if (pages.length * pageTokens < last) {
      throw new ShapeError({ parameter: 'kv.pages', expected: `pages of ${last} tokens`, got: kv.pages })
    }
    checkPages('kv.pages', pages, arena)
    await holding([this, arena], () => this.add(arena, pages, ends))
  }

  truncate(numTokens: number): void {
    this.assertQuiet()
    this.cut(checkInteger('numTokens', numTokens, 0))
  }

  clone(): SegmentIndex {
    this.assertQuiet()
    return this.owner.resources.keep(this.copy())
  }

  read(layer: number, kvHead: number): SegmentIndexContents {
    this.assertQuiet()
    checkInteger('layer', layer, 0, this.numLayers - 1)
    checkInteger('kvHead', kvHead, 0, this.numKvHeads - 1)
    return this.contents(layer, kvHead)
  }

  protected get shape(): SegmentIndexShape {
    const { numLayers, numKvHeads, headDim, codeBits, vectorBits, basis } = this
    return { numLayers, numKvHeads, headDim, codeBits, vectorBits, basis }
  }

  /** Throws unless the arena holds rows of the shape that the index describes. */
  checkShape(parameter: string, arena: KvArena): void {
    const { numLayers, numKvHeads, headDim } = this
    if (arena.numLayers === numLayers && arena.numKvHeads === numKvHeads && arena.headDim === headDim) return
    throw new ShapeError({
      parameter,
      expected: `${numLayers} layers, ${numKvHeads} KV heads, headDim ${headDim} as in the index`,
      got: `${arena.numLayers}, ${arena.numKvHeads}, ${arena.headDim}`,
    })
  }

  /** Starts before it returns; pages and ends are read in the call. */
  protected abstract add(arena: PageArena, pages: Int32Array, ends: Int32Array): Promise<void>
  protected abstract cut(numTokens: number): void
  protected abstract copy(): KernelSegmentIndex
  protected abstract contents(layer: number, kvHead: number): SegmentIndexContents

  private checkEnds(ends: Int32Array): void {
    for (let i = 1; i < ends.length; i++) {
      if ((ends[i] as number) > (ends[i - 1] as number)) continue
      throw new KernelError({ parameter: `ends[${i}]`, expected: `more than ${ends[i - 1]}`, got: ends[i] })
    }
    if (ends.length > 0) checkInteger('ends[0]', ends[0], 1)
  }

  private assertQuiet(): void {
    this.assertAlive('index')
    if (!this.inUse) return
    throw new KernelError({
      parameter: 'index',
      expected: 'an index that no run uses',
      got: 'an index in use',
      remedy: 'Await the promise of run() or extend() first.',
    })
  }
}

/** Principal channels where there are codes. Throws OptionError for them without. */
function resolveBasis(basis: unknown, codeBits: CodeBits): SegmentBasis {
  const known = checkOneOf('basis', basis ?? (codeBits === 0 ? 'channels' : 'principal'), bases)
  if (known === 'channels' || codeBits > 0) return known
  throw new OptionError({
    parameter: 'basis',
    expected: "'channels' with codeBits 0",
    got: basis,
    remedy: 'Raise codeBits: principal channels are those of codes.',
  })
}

function checkBits<T extends number>(parameter: string, got: unknown, known: readonly T[]): T {
  if (known.includes(got as T)) return got as T
  throw new OptionError({ parameter, expected: `one of ${known.join(', ')}`, got })
}
