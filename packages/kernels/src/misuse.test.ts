import { DisposedError, KvasirError, OptionError, runsOfSpans, ShapeError } from '@kvasir/core'
import { afterAll, describe, expect, test } from 'vitest'
import { loadKernels } from './backends.ts'
import { BackendError, KernelError } from './errors.ts'
import type { KeptRows, Kernels } from './kernels.ts'
import type { Batch, Op } from './ops.ts'
import { presentBackends } from './tested-backends.ts'

const backends = presentBackends()

describe.each(backends)('$backend', ({ backend }) => {
  const loaded = loadKernels({ backend, numThreads: 1 })
  afterAll(async () => (await loaded).dispose())

  const identity = async (kernels: Kernels, rows = 4, cols = 4) => {
    const values = Float32Array.from({ length: rows * cols }, (_, i) => (i % (cols + 1) === 0 ? 1 : 0))
    const bytes = new Uint8Array(values.buffer)
    return kernels.loadWeight('F32', rows, cols, async (first, count) =>
      bytes.subarray(first * cols * 4, (first + count) * cols * 4),
    )
  }
  const gather = (overrides: object = {}): Op => {
    const x = new Float32Array(12)
    return {
      kind: 'gatherRows',
      x,
      ids: new Int32Array(4),
      dim: 4,
      out: new Float32Array(16),
      rows: 'tokens',
      ...overrides,
    }
  }

  test('ops are checked when a program is made', async () => {
    const kernels = await loaded
    const weight = await identity(kernels)
    const out = new Float32Array(8)
    const make = (op: object) => () => kernels.createProgram([gather(), op as Op])
    const linear = { kind: 'linear', x: out, parts: [{ weight, out }], rows: 2, path: 'decode', mode: 'exact' }

    expect(make({ kind: 'gather' })).toThrow(OptionError)
    expect(make(gather({ row: 1 }))).toThrow(/ops\[1\]\.row: .* Did you mean rows\?/)
    expect(make(gather({ rows: 5 }))).toThrow(ShapeError)
    expect(make(gather({ rows: 'all' }))).toThrow(OptionError)
    expect(make(gather({ out: [1, 2] }))).toThrow('ops[1].out: expected a Float32Array')
    expect(make(gather({ out: new Float64Array(9) }))).toThrow(OptionError)
    expect(make(gather({ x: new Float32Array(new SharedArrayBuffer(24)) }))).toThrow('not shared')
    expect(make({ ...linear, rows: 3 })).toThrow(ShapeError)
    expect(make({ ...linear, mode: 'quick' })).toThrow(OptionError)
    expect(make({ ...linear, parts: [] })).toThrow(OptionError)
    expect(make({ ...linear, parts: [{ weight: {}, out }] })).toThrow(OptionError)
    expect(make({ ...linear, parts: [{ weight, out, bias: new Float32Array(3) }] })).toThrow('parts[0].bias')
    const odd = { kind: 'rope', x: out, cos: out, sin: out, pairing: 'half', numHeads: 1, headDim: 4, rotaryDim: 3 }
    expect(make({ ...odd, rows: 1 })).toThrow(ShapeError)
  })

  test('counts that a buffer cannot hold are refused, naming the buffer', async () => {
    const kernels = await loaded
    const program = kernels.createProgram([gather({ out: new Float32Array(9) })])
    await expect(program.run({ tokens: 3 })).rejects.toThrow(/tokens: expected at most 2: ops\[0\]\.out/)
    await expect(program.run({ tokens: -1 })).rejects.toThrow(OptionError)
    await expect(program.run({ tokens: 1.5 })).rejects.toThrow(OptionError)
    await expect(program.run({ tokens: 1, output: 1 } as never)).rejects.toThrow('Did you mean outputs?')
    await program.run({ tokens: 2 })
  })

  test('ids out of the table and slots out of the arena are refused', async () => {
    const kernels = await loaded
    const table = await identity(kernels)
    const ids = Int32Array.of(0, 3, 4)
    const embed = kernels.createProgram([{ kind: 'embedRows', table, ids, out: new Float32Array(12), rows: 'tokens' }])
    await embed.run({ tokens: 2 })
    await expect(embed.run({ tokens: 3 })).rejects.toThrow(
      'ops[0].ids[2]: expected a row of the table in [0, 4), got 4',
    )
    ids[0] = -1
    await expect(embed.run({ tokens: 1 })).rejects.toThrow(KernelError)

    const arena = kernels.createArena({ numLayers: 1, numKvHeads: 1, headDim: 16, capacityPages: 2 })
    const [keys, slots] = [new Float32Array(16), Int32Array.of(32)]
    const op: Op = { kind: 'writeKv', arena, layer: 0, keys, values: keys, slots, rows: 1 }
    const write = kernels.createProgram([op])
    await expect(write.run({ tokens: 0 })).rejects.toThrow('a slot of the arena in [0, 32)')
    expect(() => kernels.createProgram([{ ...op, layer: 1 }])).toThrow(OptionError)
    expect(() => arena.copyPage(0, 2)).toThrow(OptionError)
    expect(() => arena.readRows('keys', 0, 1, Int32Array.of(0), 0, 1)).toThrow(OptionError)
    expect(() => arena.readRows('keys', 0, 0, Int32Array.of(0), 0, 17)).toThrow(OptionError)
    expect(() => arena.readRows('keys', 0, 0, Int32Array.of(2), 0, 1)).toThrow(KernelError)
  })

  test('memory that cannot be had is an error', async () => {
    const kernels = await loaded
    if (kernels.backend === 'reference') return
    const vast = { numLayers: 4096, numKvHeads: 4096, headDim: 4096, capacityPages: 2 ** 27 - 1 }
    expect(() => kernels.createArena(vast)).toThrow(KernelError)
    expect(() => kernels.allocate(2 ** 52)).toThrow(KernelError)
  })

  test('batches and run lists are checked before they are read', async () => {
    const kernels = await loaded
    const arena = kernels.createArena({ numLayers: 1, numKvHeads: 2, headDim: 16, capacityPages: 2 })
    const lists = kernels.createRunLists(1, 2)
    const q = new Float32Array(40 * 64)
    const fixed = { arena, layer: 0, q, numHeads: 4, scale: 1, out: q }
    const attempt = async (batch: Partial<Batch>, sequences = 1, tokens = 2) => {
      const pages = Int32Array.of(1)
      const starts = { rowStarts: Int32Array.of(0, 2), pageStarts: Int32Array.of(0, 1) }
      const whole = { ...starts, contextTokens: Int32Array.of(16), pages, ...batch }
      const program = kernels.createProgram([{ kind: 'attendPrefill', ...fixed, windowTokens: 0, batch: whole }])
      await program.run({ tokens, sequences })
    }
    await attempt({})
    await expect(attempt({ pages: Int32Array.of(2) })).rejects.toThrow('a page of the arena')
    await expect(attempt({ pages: new Int32Array() })).rejects.toThrow('pageStarts[1]')
    await expect(attempt({ contextTokens: Int32Array.of(17) })).rejects.toThrow('contextTokens[0]')
    await expect(attempt({ contextTokens: Int32Array.of(1) })).rejects.toThrow('contextTokens[0]')
    await expect(attempt({ rowStarts: Int32Array.of(0, 3) })).rejects.toThrow('rowStarts[1]')
    await expect(attempt({ rowStarts: Int32Array.of(1, 2) })).rejects.toThrow('rowStarts[0]')
    await expect(attempt({}, 2)).rejects.toThrow(ShapeError)
    expect(() => kernels.createProgram([{ kind: 'attendPrefill', ...fixed, numHeads: 3 } as unknown as Op])).toThrow(
      ShapeError,
    )

    const runs = (list: number[][], ends = [0, list.length, list.length]) =>
      lists.set(0, { rowStarts: Int32Array.from(ends), runs: Int32Array.from(list.flat()) })
    expect(() => runs([[0, 10, 7]])).toThrow(KernelError)
    expect(() => runs([[0, 0, 0]])).toThrow(KernelError)
    expect(() => runs([[-1, 0, 1]])).toThrow(KernelError)
    expect(() =>
      runs([
        [0, 4, 4],
        [0, 7, 1],
      ]),
    ).toThrow(KernelError)
    expect(() => runs([[0, 4, 4]], [0, 2, 1])).toThrow(KvasirError)
    expect(() => runs([[0, 4, 4]], [0, 1])).toThrow(ShapeError)
    runs([
      [0, 4, 4],
      [0, 9, 1],
    ])

    const batch = { rowStarts: Int32Array.of(0, 1), contextTokens: Int32Array.of(9), pageStarts: Int32Array.of(0, 1) }
    const op: Op = { kind: 'attendRuns', ...fixed, batch: { ...batch, pages: Int32Array.of(0) }, lists }
    const attend = kernels.createProgram([op])
    await expect(attend.run({ tokens: 1, sequences: 1 })).rejects.toThrow('end at or before token 9')
    const selectors = [{ kind: 'mine' }] as never
    await expect(attend.run({ tokens: 1, sequences: 1, selectors })).rejects.toThrow(OptionError)
    await expect(attend.run({ tokens: 1, sequences: 1, selectors: [] })).rejects.toThrow(ShapeError)
  })

  test('positions ascend within a sequence that holds them', async () => {
    const kernels = await loaded
    const arena = kernels.createArena({ numLayers: 1, numKvHeads: 2, headDim: 16, capacityPages: 2 })
    const batch = {
      rowStarts: Int32Array.of(0, 2, 3),
      contextTokens: Int32Array.of(9, 4),
      pageStarts: Int32Array.of(0, 1, 2),
      pages: Int32Array.of(0, 1),
    }
    const q = new Float32Array(3 * 64)
    const positions = Int32Array.of(0, 8, 3)
    const op = { kind: 'attendPrefill' as const, arena, layer: 0, q, numHeads: 4, scale: 1, windowTokens: 0, out: q }
    const program = kernels.createProgram([{ ...op, batch, positions }])
    const run = (...given: readonly number[]) => {
      positions.set(given)
      return program.run({ tokens: 3, sequences: 2 })
    }
    await run(0, 8, 0)
    await expect(run(8, 0, 0)).rejects.toThrow('positions[1]: expected ascending rows of sequence 0, in [9, 9)')
    await expect(run(8, 8, 0)).rejects.toThrow('positions[1]')
    await expect(run(8, 9, 0)).rejects.toThrow('positions[1]')
    await expect(run(-1, 0, 0)).rejects.toThrow('positions[0]')
    await expect(run(0, 8, 4)).rejects.toThrow(KernelError)
    await run(7, 8, 3)
    const short = kernels.createProgram([{ ...op, batch, positions: new Int32Array(2) }])
    await expect(short.run({ tokens: 3, sequences: 2 })).rejects.toThrow('at most 2: ops[0].positions')
    expect(() => kernels.createProgram([{ ...op, batch, positions: [0, 8, 0] as never }])).toThrow(OptionError)
  })

  test('attention mass is of one sequence that its rows hold', async () => {
    const kernels = await loaded
    const arena = kernels.createArena({ numLayers: 1, numKvHeads: 2, headDim: 16, capacityPages: 2 })
    const batch = {
      rowStarts: Int32Array.of(0, 1, 2),
      contextTokens: Int32Array.of(9, 1),
      pageStarts: Int32Array.of(0, 1, 2),
      pages: Int32Array.of(0, 1),
    }
    const [q, mass] = [new Float32Array(128), new Float32Array(40)]
    const op: Op = {
      ...{ kind: 'attentionMass', arena, layer: 0, q, numHeads: 4, scale: 1, windowTokens: 0, batch, mass },
      massStride: 9,
    }
    const run = async (change: Partial<Op>, sequences = 1) =>
      kernels.createProgram([{ ...op, ...change } as Op]).run({ tokens: 2, sequences })
    await run({})
    for (const share of mass.subarray(0, 9)) expect(share).toBeCloseTo(1 / 9, 6)
    await run({}, 0)
    await expect(run({}, 2)).rejects.toThrow('at most 1: ops[0] adds up one')
    await expect(run({ massStride: 8 })).rejects.toThrow('ops[0].massStride: expected at least 9')
    await expect(run({ massStride: 11 })).rejects.toThrow(ShapeError)
    await expect(run({ massStride: 0 })).rejects.toThrow(OptionError)
    await expect(run({ windowTokens: -1 })).rejects.toThrow(OptionError)
    await expect(run({ numHeads: 3 })).rejects.toThrow(ShapeError)
  })

  test('lists of query heads and kept rows are checked', async () => {
    const kernels = await loaded
    expect(() => kernels.createRunLists(1, 2, 3)).toThrow('a multiple of 2 KV heads')
    const lists = kernels.createRunLists(1, 2, 4)
    const one = (rows: number) => runsOfSpans([{ start: 0, end: 5 }], rows)
    expect(() => lists.set(0, one(3))).toThrow(ShapeError)
    for (const rows of [2, 4]) {
      lists.set(0, one(rows))
      expect(lists.get(0)).toEqual(one(rows))
    }
    expect(() => kernels.createRunLists(1, 2).set(0, one(4))).toThrow(ShapeError)

    const arena = kernels.createArena({ numLayers: 2, numKvHeads: 2, headDim: 16, capacityPages: 1 })
    const starts = { rowStarts: Int32Array.of(0, 1), pageStarts: Int32Array.of(0, 1) }
    const batch = { ...starts, contextTokens: Int32Array.of(9), pages: Int32Array.of(0) }
    const op = (numHeads: number): Op => {
      const fixed = { arena, layer: 1, q: new Float32Array(128), numHeads, scale: 1, batch, lists }
      return { kind: 'selectRuns', ...fixed, windowTokens: 0 }
    }
    expect(() => kernels.createProgram([op(8)])).toThrow('lists of 8 heads')
    const select = kernels.createProgram([op(4)])

    const kept = kernels.createKeptRows(2, 2)
    expect(() => kernels.createKeptRows(0, 2)).toThrow(OptionError)
    expect(() => kept.set(2, one(2), 5)).toThrow(OptionError)
    expect(() => kept.set(0, one(1), 5)).toThrow(ShapeError)
    expect(() => kept.set(0, one(2), 4)).toThrow('end at or before token 4')
    expect(() => kept.set(0, one(2), -1)).toThrow(OptionError)
    expect(() => kept.truncate(1.5)).toThrow(OptionError)
    expect(() => kept.heldTokens(2)).toThrow(OptionError)
    const run = (rows: unknown) => select.run({ tokens: 1, sequences: 1, kept: rows as KeptRows[] })
    await expect(run([])).rejects.toThrow(ShapeError)
    await expect(run([{}])).rejects.toThrow(OptionError)
    await expect(run([kernels.createKeptRows(2, 1)])).rejects.toThrow('2 layers and 2 KV heads')
    const running = run([kept])
    expect(() => kept.set(0, one(2), 5)).toThrow('Await the promise of run() first.')
    expect(() => kept.truncate(0)).toThrow(KernelError)
    await running
    kept.dispose()
    await expect(run([kept])).rejects.toThrow(DisposedError)
    expect(() => kept.clone()).toThrow(DisposedError)
    await run([null])
  })

  test('weights are checked as they are read', async () => {
    const kernels = await loaded
    const read = async () => new Uint8Array(3)
    await expect(kernels.loadWeight('Q4_K', 1, 32, read)).rejects.toThrow('a multiple of 256 for Q4_K')
    await expect(kernels.loadWeight('F32', 2e9, 2e9, read)).rejects.toThrow(OptionError)
    await expect(kernels.loadWeight('Q9' as never, 1, 32, read)).rejects.toThrow(OptionError)
    await expect(kernels.loadWeight('F32', 2, 4, read)).rejects.toThrow('read(0, 2): expected 32 bytes')
    const failing = kernels.loadWeight('F32', 2, 4, () => Promise.reject(new Error('disk')))
    await expect(failing).rejects.toThrow('disk')
    const weight = await identity(kernels)
    expect(() => kernels.weightRow(weight, 4)).toThrow(OptionError)
  })

  test('selectors and indexes refuse what does not fit', async () => {
    const kernels = await loaded
    const shape = { numLayers: 1, numKvHeads: 1, headDim: 16 }
    const arena = kernels.createArena({ ...shape, capacityPages: 2 })
    const index = kernels.createSegmentIndex(shape)
    const kv = { arena, pages: Int32Array.of(0, 1) }
    expect(() => kernels.createSegmentIndex({ ...shape, bits: 1 } as never)).toThrow(OptionError)
    expect(() => kernels.createExactSelector({ budgetTokens: 0 })).toThrow(OptionError)
    expect(() => kernels.createSegmentSelector({ budgetTokens: 8, index: {} as never })).toThrow(OptionError)
    await expect(index.extend(kv, Int32Array.of(4, 4))).rejects.toThrow(KernelError)
    await expect(index.extend(kv, Int32Array.of(33))).rejects.toThrow(ShapeError)
    await expect(index.extend({ arena, pages: Int32Array.of(0, 2) }, Int32Array.of(32))).rejects.toThrow(KernelError)
    const other = kernels.createArena({ ...shape, headDim: 8, capacityPages: 1 })
    await expect(index.extend({ arena: other, pages: kv.pages }, Int32Array.of(4))).rejects.toThrow(ShapeError)
    await Promise.all([index.extend(kv, Int32Array.of(3)), index.extend(kv, Int32Array.of(7, 20))])
    index.truncate(3)
    expect(index.numTokens).toBe(3)
    await index.extend(kv, Int32Array.of(20))
    expect([index.numSegments, index.numTokens]).toEqual([2, 20])
    await expect(index.extend(kv, Int32Array.of(20))).rejects.toThrow('more than 20')
    expect(() => index.read(1, 0)).toThrow(OptionError)

    const selector = kernels.createSegmentSelector({ budgetTokens: 8, index })
    const lists = kernels.createRunLists(1, 1)
    const starts = { rowStarts: Int32Array.of(0, 1), pageStarts: Int32Array.of(0, 1) }
    const batch = { ...starts, contextTokens: Int32Array.of(10), pages: Int32Array.of(0) }
    const fixed = { arena, layer: 0, q: new Float32Array(16), numHeads: 1, scale: 1, batch, lists }
    const select = kernels.createProgram([{ kind: 'selectRuns', ...fixed, windowTokens: 0 }])
    const run = () => select.run({ tokens: 1, sequences: 1, selectors: [selector] })
    await expect(run()).rejects.toThrow('Truncate the index')
    index.truncate(9)
    await run()
    index.dispose()
    await expect(run()).rejects.toThrow(DisposedError)
    expect(() => index.truncate(1)).toThrow(DisposedError)
  })

  test('what is disposed is refused, and what is in use stays until the run has ended', async () => {
    const kernels = await loadKernels({ backend, numThreads: 1 })
    const weight = await identity(kernels)
    const [x, out] = [Float32Array.of(1, 2, 3, 4), new Float32Array(4)]
    const op: Op = { kind: 'linear', x, parts: [{ weight, out }], rows: 'tokens', path: 'decode', mode: 'exact' }
    const program = kernels.createProgram([op])
    const running = program.run({ tokens: 1 })
    weight.dispose()
    program.dispose()
    await running
    expect([...out]).toEqual([1, 2, 3, 4])
    await expect(program.run({ tokens: 1 })).rejects.toThrow(DisposedError)
    expect(() => kernels.createProgram([op])).toThrow(DisposedError)
    expect(() => kernels.weightRow(weight, 0)).toThrow(DisposedError)
    weight.dispose()

    const lists = kernels.createRunLists(1, 1)
    const busy = kernels.createProgram([gather()])
    const runs = Array.from({ length: 1000 }, () => busy.run({ tokens: 2 }))
    const disposal = kernels.dispose()
    await Promise.all([...runs, disposal])
    expect(() => lists.get(0)).toThrow(DisposedError)
    expect(() => kernels.createRunLists(1, 1)).toThrow(DisposedError)
    await expect(busy.run({ tokens: 1 })).rejects.toThrow(DisposedError)
    await kernels.dispose()
  })

  test('run lists cannot be changed under a run', async () => {
    const kernels = await loaded
    const arena = kernels.createArena({ numLayers: 1, numKvHeads: 1, headDim: 16, capacityPages: 1 })
    const lists = kernels.createRunLists(1, 1)
    const starts = { rowStarts: Int32Array.of(0, 1), pageStarts: Int32Array.of(0, 1) }
    const batch = { ...starts, contextTokens: Int32Array.of(5), pages: Int32Array.of(0) }
    const fixed = { arena, layer: 0, q: new Float32Array(16), numHeads: 1, scale: 1, batch, lists }
    const running = kernels
      .createProgram([{ kind: 'selectRuns', ...fixed, windowTokens: 0 }])
      .run({ tokens: 1, sequences: 1 })
    expect(() => lists.get(0)).toThrow('Await the promise of run() first.')
    await running
    expect([...lists.get(0).runs]).toEqual([0, 0, 5])
  })

  test('resources of other Kernels are refused', async () => {
    const [kernels, other] = [await loaded, await loadKernels({ backend, numThreads: 1 })]
    const table = await identity(other)
    const op: Op = { kind: 'embedRows', table, ids: new Int32Array(1), out: new Float32Array(4), rows: 1 }
    expect(() => kernels.createProgram([op])).toThrow('made by other Kernels')
    await other.dispose()
  })

  test('a buffer whose memory was transferred away is refused', async () => {
    const kernels = await loaded
    const x = new Float32Array(12)
    const program = kernels.createProgram([gather({ x })])
    structuredClone(x.buffer, { transfer: [x.buffer] })
    await expect(program.run({ tokens: 1 })).rejects.toThrow('transferred away')
  })

  test('a run reads the index arrays in the call', async () => {
    const kernels = await loaded
    const [x, ids, out] = [Float32Array.of(1, 1, 1, 1, 2, 2, 2, 2), Int32Array.of(1), new Float32Array(4)]
    const program = kernels.createProgram([gather({ x, ids, out })])
    const running = program.run({ tokens: 1 })
    ids[0] = 7
    await running
    expect([...out]).toEqual([2, 2, 2, 2])
  })
})

test('options of loadKernels are checked', async () => {
  await expect(loadKernels({ backend: 'gpu' as never })).rejects.toThrow(OptionError)
  await expect(loadKernels({ threads: 2 } as never)).rejects.toThrow('numThreads')
  await expect(loadKernels({ numThreads: 0 })).rejects.toThrow(OptionError)
  const strange = process.arch === 'arm64' ? 'avx2' : 'neon'
  if (backends.length > 1) await expect(loadKernels({ backend: 'cpu', isa: strange })).rejects.toThrow(BackendError)
})
