import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assertSameBits, seededRandom } from '@kvasir/core/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { availableBackends, loadKernels } from './backends.ts'
import { loadRows, randomRows } from './case-data.ts'
import type { Kernels, RunOptions, Weight } from './kernels.ts'
import type { Extent, LinearOp, Op } from './ops.ts'

const isHere = availableBackends().some(({ backend, missing }) => backend === 'cuda' && missing === undefined)
const [dim, ffnDim, maxRows] = [288, 96, 20]

describe.skipIf(!isHere)('rows that norms and gates hand to linear ops on a GPU', { timeout: 120_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-handed-rows-'))
  const trace = join(folder, 'trace')
  let kernels: Kernels
  let weights: { widen: Weight; alsoWiden: Weight; narrow: Weight }
  beforeAll(async () => {
    process.env.KVASIR_GPU_TRACE = trace
    kernels = await loadKernels({ backend: 'cuda' })
    delete process.env.KVASIR_GPU_TRACE
    const random = seededRandom(3)
    const load = (type: 'Q8_0' | 'F16', rows: number, cols: number) =>
      loadRows(kernels, type, cols, randomRows(random, type, rows, cols))
    weights = {
      widen: await load('Q8_0', ffnDim, dim),
      alsoWiden: await load('F16', ffnDim, dim),
      narrow: await load('Q8_0', dim, ffnDim),
    }
  })
  afterAll(async () => {
    await kernels.dispose()
    rmSync(folder, { recursive: true })
  })

  const names = ['x', 'other', 'normed', 'normedToo', 'gate', 'up', 'out'] as const
  type Buffers = Record<(typeof names)[number], Float32Array>
  /** Buffers of maxRows rows of dim values, the same for the same seed; ops use as much of a row as they like. */
  const buffersOf = (seed: number): Buffers => {
    const random = seededRandom(seed)
    return Object.fromEntries(names.map((name) => [name, random.normals(maxRows * dim)])) as unknown as Buffers
  }
  const weightOfNorm = seededRandom(4).normals(dim)
  const ids = Int32Array.from({ length: maxRows }, (_, i) => (7 * i) % maxRows)

  const norm = (x: Float32Array, out: Float32Array, rows: Extent = 'tokens', groups = 1): Op => {
    return { kind: 'rmsNorm', x, weight: weightOfNorm, eps: 1e-5, groups, dim: dim / groups, out, rows }
  }
  const linear = (x: Float32Array, weight: Weight, out: Float32Array, more: Partial<LinearOp> = {}): Op => {
    return { kind: 'linear', x, parts: [{ weight, out }], rows: 'tokens', path: 'decode', mode: 'fast', ...more }
  }
  const gated = ({ gate, up }: Buffers): Op => ({ kind: 'siluGate', gate, up, dim: ffnDim, out: gate, rows: 'tokens' })
  const gather = (x: Float32Array, out: Float32Array, rows: Extent = 'tokens'): Op => {
    return { kind: 'gatherRows', x, ids, dim, out, rows }
  }

  /** What `work` launches, of a device that tells. */
  async function launches(work: () => Promise<unknown>): Promise<string[] | undefined> {
    const before = readTrace().length
    await work()
    return kernels.isa === 'emulated'
      ? (readTrace()
          .slice(before)
          .match(/launch .*/g)
          ?.slice() ?? [])
      : undefined
  }
  const readTrace = () => (kernels.isa === 'emulated' ? readFileSync(trace, 'utf8') : '')
  const preparations = (lines: string[]) => lines.filter((line) => line.includes('ScaleRows')).length

  /** Each op a program of its own: nothing can be handed over. */
  async function runApart(ops: readonly Op[], counts: RunOptions) {
    for (const op of ops) {
      const program = kernels.createProgram([op])
      await program.run(counts)
      program.dispose()
    }
  }

  const block =
    (path: 'prefill' | 'decode') =>
    (buffers: Buffers): Op[] => {
      const { x, normed, gate, up, out } = buffers
      const parts = [
        { weight: weights.widen, out: gate },
        { weight: weights.alsoWiden, out: up },
      ]
      return [
        norm(x, normed),
        { kind: 'linear', x: normed, parts, rows: 'tokens', path, mode: 'fast' },
        gated(buffers),
        {
          kind: 'linear',
          x: gate,
          parts: [{ weight: weights.narrow, out, accumulate: true }],
          rows: 'tokens',
          path,
          mode: 'fast',
        },
      ]
    }

  test.each([
    ['decode', []],
    ['decode', ['normed', 'gate']],
    ['prefill', []],
    ['prefill', ['normed', 'gate']],
  ] as const)('a feed-forward block has the bits of its ops apart: %s, scratch %j', async (path, scratch) => {
    const [own, wanted] = [buffersOf(1), buffersOf(1)]
    const program = kernels.createProgram(block(path)(own), { scratch: scratch.map((name) => own[name]) })
    const before = kernels.gpuCounts()?.graphs ?? 0
    for (const [round, tokens] of [3, 0, 1, 17, 3, 3, 1, 16, 3, 1, 20, 3].entries()) {
      const x = seededRandom(10 + round).normals(maxRows * dim, 2 ** round)
      // A row of zeros, and one of subnormal numbers.
      x.fill(0, dim, 2 * dim).fill(1e-40, 2 * dim, 3 * dim)
      for (const buffers of [own, wanted]) buffers.x.set(x)
      const lines = await launches(() => program.run({ tokens }))
      if (lines && round < 2)
        expect([lines.length, preparations(lines)]).toEqual(tokens > 0 ? [path === 'decode' ? 5 : 4, 0] : [0, 0])
      await runApart(block(path)(wanted), { tokens })
      for (const name of names.filter((name) => !(scratch as readonly string[]).includes(name))) {
        assertSameBits(own[name], wanted[name], `${name}, round ${round}`)
      }
    }
    expect((kernels.gpuCounts()?.graphs ?? 0) - before).toBeGreaterThanOrEqual(3)
    program.dispose()
  })

  /** Programs, with how many of their linear ops prepare rows themselves. */
  const programs: readonly [string, number, (buffers: Buffers) => Op[], (keyof Buffers)[]][] = [
    ['one reader', 0, ({ x, normed, out }) => [norm(x, normed), linear(normed, weights.widen, out)], []],
    ['in place', 0, ({ x, out }) => [norm(x, x), linear(x, weights.widen, out)], []],
    [
      'two readers, another op between them',
      0,
      ({ x, other, normed, gate, up, out }) => [
        norm(x, normed),
        linear(normed, weights.widen, gate),
        gather(other, out),
        linear(normed, weights.alsoWiden, up),
      ],
      ['normed'],
    ],
    [
      'rows prepared for another linear op in between',
      1,
      ({ x, other, normed, gate, up }) => [
        norm(x, normed),
        linear(other, weights.widen, gate),
        linear(normed, weights.widen, up),
      ],
      ['normed'],
    ],
    [
      'floats read too',
      0,
      ({ x, normed, gate, out }) => [norm(x, normed), linear(normed, weights.widen, gate), gather(normed, out)],
      ['normed'],
    ],
    [
      'floats read by an exact op',
      0,
      ({ x, normed, gate, up }) => [
        norm(x, normed),
        linear(normed, weights.widen, gate),
        linear(normed, weights.widen, up, { mode: 'exact' }),
      ],
      ['normed'],
    ],
    [
      'exact mode',
      0,
      ({ x, normed, out }) => [norm(x, normed), linear(normed, weights.widen, out, { mode: 'exact' })],
      ['normed'],
    ],
    [
      'written over in between',
      1,
      ({ x, other, normed, out }) => [norm(x, normed), gather(other, normed), linear(normed, weights.widen, out)],
      [],
    ],
    [
      'written over in part in between',
      1,
      ({ x, other, normed, out }) => [
        norm(x, normed),
        gather(other, normed, 'outputs'),
        linear(normed, weights.widen, out),
      ],
      ['normed'],
    ],
    [
      'written over in part afterwards, then read',
      0,
      ({ x, other, normed, gate, out }) => [
        norm(x, normed),
        linear(normed, weights.widen, gate),
        gather(other, normed, 'outputs'),
        gather(normed, out),
      ],
      ['normed'],
    ],
    [
      'turned in place in between',
      1,
      ({ x, other, normed, out }) => [
        norm(x, normed),
        {
          kind: 'rope',
          x: normed,
          cos: other,
          sin: other,
          pairing: 'half',
          numHeads: 3,
          headDim: dim / 3,
          rotaryDim: 32,
          rows: 'tokens',
        },
        linear(normed, weights.widen, out),
      ],
      ['normed'],
    ],
    [
      'fewer rows written than read',
      1,
      ({ x, normed, out }) => [norm(x, normed, 'outputs'), linear(normed, weights.widen, out)],
      [],
    ],
    [
      'fewer rows read than written',
      1,
      ({ x, normed, out }) => [norm(x, normed), linear(normed, weights.widen, out, { rows: 'outputs' })],
      ['normed'],
    ],
    [
      'a fixed count of rows, and another one',
      1,
      ({ x, normed, gate, out }) => [
        norm(x, normed, 4),
        linear(normed, weights.widen, gate, { rows: 4 }),
        linear(normed, weights.widen, out, { rows: 3 }),
      ],
      ['normed'],
    ],
    [
      'rows of another length',
      1,
      ({ x, normed, out }) => [norm(x, normed), linear(normed, weights.narrow, out)],
      ['normed'],
    ],
    [
      'vectors shorter than rows',
      1,
      ({ x, normed, out }) => [norm(x, normed, 'tokens', 3), linear(normed, weights.widen, out)],
      [],
    ],
    [
      'other rows offered in between',
      1,
      ({ x, other, normed, normedToo, gate, up }) => [
        norm(x, normed),
        norm(other, normedToo),
        linear(normed, weights.widen, gate),
        linear(normedToo, weights.widen, up),
      ],
      ['normed', 'normedToo'],
    ],
    [
      'the same buffer written twice, each read',
      0,
      ({ x, other, normed, gate, up }) => [
        norm(x, normed),
        linear(normed, weights.widen, gate),
        norm(other, normed),
        linear(normed, weights.widen, up),
      ],
      [],
    ],
  ]

  test.each(programs)('%s: %i preparations, and the bits of ops apart', async (_, prepared, opsOf, scratch) => {
    for (const counts of [
      { tokens: 5, outputs: 2 },
      { tokens: 2, outputs: 5 },
      { tokens: 18, outputs: 3 },
    ]) {
      const [own, wanted] = [buffersOf(2), buffersOf(2)]
      const program = kernels.createProgram(opsOf(own), { scratch: scratch.map((name) => own[name]) })
      for (let round = 0; round < 4; round++) {
        const fresh = buffersOf(20 + round)
        for (const name of names) for (const buffers of [own, wanted]) buffers[name].set(fresh[name])
        const lines = await launches(() => program.run(counts))
        if (lines && round === 0) expect(preparations(lines)).toBe(prepared)
        await runApart(opsOf(wanted), counts)
        for (const name of names.filter((name) => !scratch.includes(name))) {
          assertSameBits(own[name], wanted[name], `${name}, round ${round}`)
        }
      }
      program.dispose()
    }
  })

  test.each([
    ['of scratch are not written', true, true],
    ['that the caller may look at are written', false, false],
  ])('floats that no op reads, %s', async (_, isScratch, stays) => {
    const { x, other, normed, gate, out } = buffersOf(5)
    const first = kernels.createProgram([gather(other, normed)])
    const second = kernels.createProgram([norm(x, normed), linear(normed, weights.widen, gate)], {
      scratch: isScratch ? [normed] : [],
    })
    const third = kernels.createProgram([gather(normed, out)])
    await first.run({ tokens: maxRows, leaves: [normed] })
    await second.run({ tokens: maxRows })
    await third.run({ tokens: maxRows, takesUp: [normed] })
    const row = (buffer: Float32Array, r: number) => buffer.slice(r * dim, (r + 1) * dim)
    const kept = row(other, ids[ids[1] as number] as number)
    expect(row(out, 1).every((value, i) => value === kept[i])).toBe(stays)
    for (const program of [first, second, third]) program.dispose()
  })
})
