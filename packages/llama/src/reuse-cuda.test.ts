import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CachePolicy, type DonorKv, type DonorStore, exact, type LayerReport, type ReusePlan } from '@kvasir/core'
import { assertSameBits, memoryDonors, probePolicy } from '@kvasir/core/testing'
import { availableBackends, type Kernels, loadKernels } from '@kvasir/kernels'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { borrower, document, openModel, planFor, prefillOf, publish, reordered, scope } from '../test-fixtures/reuse.ts'
import type { LlamaModel, LlamaOptions } from './index.ts'

const found = availableBackends().find(({ backend, missing }) => backend === 'cuda' && missing === undefined)
const everyRow = Int32Array.from(document, (_, row) => row)

/** The donor's own prompt, of which some rows are computed. */
function sameFor(donor: string, rows: Int32Array): ReusePlan {
  const pieces = [{ start: 0, end: document.length - 1, donor, donorStart: 0 }]
  return { kind: 'reuse', pieces, recompute: { rows }, provenance: exact, reason: 'the same prompt' }
}

/** Every layer of a donor as it was put. */
async function bytesOf(donors: DonorStore, id: string, numLayers: number): Promise<Uint8Array[]> {
  const donor = (await donors.open(id, scope)) as DonorKv
  return Promise.all(Array.from({ length: numLayers }, async (_, layer) => (await donor.layer(layer)).slice()))
}

describe.skipIf(!found)('borrowing rows on a GPU', { timeout: 120_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-reuse-cuda-'))
  const trace = join(folder, 'trace')
  let cpu: Kernels
  let gpu: Kernels
  beforeAll(async () => {
    cpu = await loadKernels({ backend: 'cpu' })
    process.env.KVASIR_GPU_TRACE = trace
    gpu = await loadKernels({ backend: 'cuda' })
    delete process.env.KVASIR_GPU_TRACE
  })
  afterAll(async () => {
    await Promise.all([cpu.dispose(), gpu.dispose()])
    rmSync(folder, { recursive: true })
  })

  const open = (kernels: Kernels, more: Partial<LlamaOptions> = {}): Promise<LlamaModel> =>
    openModel({ kernels, mode: 'exact', contextTokens: 128, ...more })

  test('the prompt of a donor has the bits of a full prefill, whichever rows are computed', async () => {
    await using model = await open(gpu)
    const donor = await publish(model)
    const full = await prefillOf(model, document)
    const thirds = everyRow.filter((row) => row % 3 === 0 || row === 89)
    for (const rows of [everyRow.subarray(89), thirds, everyRow]) {
      assertSameBits(await prefillOf(model, document, borrower(sameFor(donor, rows))), full, `${rows.length} rows`)
    }
  })

  test('moved rows give the decisions and the tokens of the CPU', async () => {
    const outcomes = []
    for (const kernels of [cpu, gpu]) {
      await using model = await open(kernels)
      const donor = await publish(model)
      const sizes: number[] = []
      const recompute = ({ rows: { rows }, distances }: LayerReport) => {
        sizes.push(rows.length)
        const far = [...distances].sort((a, b) => b - a)[19] as number
        return { rows: rows.filter((row, at) => (distances[at] as number) >= far || row === 89) }
      }
      await using sequence = model.createSequence({ policy: borrower(planFor(donor), { recompute }), scope })
      let logits = await sequence.prefill(reordered)
      const first = logits.slice()
      const tokens: number[] = []
      for (let step = 0; step < 6; step++) {
        tokens.push(logits.indexOf(Math.max(...logits)))
        logits = await sequence.decode(tokens.at(-1) as number)
      }
      outcomes.push({ first, tokens, sizes, report: { ...sequence.report().reuse, donors: 1 } })
    }
    const [wanted, got] = outcomes
    expect(got).toEqual({ ...wanted, first: got?.first })
    const differences = got?.first.map((value, i) => Math.abs(value - (wanted?.first[i] as number))) ?? []
    expect(Math.max(...differences)).toBeLessThan(2e-2)
  })

  test.each(['nothing', 'attention'])('bits do not depend on chunks or the batch, watching %s', async (watching) => {
    const hooks = watching === 'nothing' ? {} : { recompute: ({ rows }: LayerReport) => rows }
    const policyOf = (donor: string): CachePolicy => {
      const policy = borrower(planFor(donor), hooks)
      return {
        ...policy,
        effects: { ...policy.effects, ...(watching === 'attention' && { observes: { recomputed: true } }) },
      }
    }
    await using model = await open(gpu)
    const alone = await prefillOf(model, reordered, policyOf(await publish(model)))
    await using chunked = await open(gpu, { chunkTokens: 48, maxBatch: 3 })
    const donor = await publish(chunked)
    const sequences = [policyOf(donor), undefined, policyOf(donor)].map((policy) =>
      chunked.createSequence({ scope, ...(policy && { policy }) }),
    )
    const logits = await chunked.prefill(sequences.map((sequence) => sequence.request(reordered)))
    assertSameBits(logits[0] as Float32Array, alone)
    assertSameBits(logits[2] as Float32Array, alone)
    assertSameBits(logits[1] as Float32Array, await prefillOf(model, reordered))
    for (const sequence of sequences) await sequence.dispose()
  })

  test.each([
    ['cpu', 'cuda'],
    ['cuda', 'cpu'],
    ['cuda', 'cuda'],
  ])('rows published on %s are borrowed on %s, bit for bit', async (from, to) => {
    const donors = memoryDonors()
    const kernelsOf = (backend: string) => (backend === 'cuda' ? gpu : cpu)
    await using lender = await open(kernelsOf(from), { donors })
    await using taker = await open(kernelsOf(to), { donors })
    expect(taker.profile.format).toEqual(lender.profile.format)
    const id = await publish(lender)
    const { numLayers, numKvHeads, headDim } = taker.config
    const wanted = await bytesOf(donors, id, numLayers)
    const policy = probePolicy({ slots: ['reuse', 'publish'] }, () => ({
      reuse: async () => sameFor(id, everyRow.subarray(89)),
      publish: ({ tokens }) => ({ spans: [{ start: 0, end: tokens.length }], scope, provenance: exact }),
    }))
    await using sequence = taker.createSequence({ policy, scope })
    await sequence.prefill(document)
    expect(sequence.report().reuse).toMatchObject({ accepted: true, recomputedPairs: numLayers })
    const got = await bytesOf(donors, (await sequence.publish()) as string, numLayers)
    const partBytes = document.length * headDim * 2
    got.forEach((bytes, layer) => {
      expect(bytes).toHaveLength(2 * numKvHeads * partBytes)
      for (let start = 0; start < bytes.length; start += partBytes) {
        // The last row is the taker's own.
        const end = start + partBytes - headDim * 2
        assertSameBits(bytes.subarray(start, end), (wanted[layer] as Uint8Array).subarray(start, end), `layer ${layer}`)
      }
    })
  })

  /** Donors whose bytes are overwritten once they are closed; told when a layer is asked for. */
  function wiped(asked: (layer: number) => void): DonorStore & { readonly open: DonorStore['open'] } {
    const inner = memoryDonors()
    return {
      put: (donor) => inner.put(donor),
      open: async (id, owner) => {
        const donor = await inner.open(id, owner)
        const lent: Uint8Array[] = []
        return (
          donor && {
            ...donor,
            layer: async (layer) => {
              asked(layer)
              const bytes = (await donor.layer(layer)).slice()
              lent.push(bytes)
              return bytes
            },
            close: () => {
              for (const bytes of lent) bytes.fill(0xff)
            },
          }
        )
      },
    }
  }

  test('a donor is read no more once it is closed', async () => {
    await using plain = await open(gpu)
    const wanted = await prefillOf(plain, reordered, borrower(planFor(await publish(plain))))
    await using model = await open(gpu, { donors: wiped(() => {}) })
    assertSameBits(await prefillOf(model, reordered, borrower(planFor(await publish(model)))), wanted)
  })

  test('an abort at any layer leaves nothing under way, and the next prompt has its bits', async () => {
    let stopAt = -1
    let controller = new AbortController()
    await using model = await open(gpu, { donors: wiped((layer) => layer === stopAt && controller.abort('enough')) })
    const donor = await publish(model)
    const wanted = await prefillOf(model, reordered, borrower(planFor(donor)))
    const dense = await prefillOf(model, reordered)
    for (stopAt = 0; stopAt < model.config.numLayers; stopAt++) {
      controller = new AbortController()
      await using sequence = model.createSequence({ policy: borrower(planFor(donor)), scope })
      await expect(sequence.prefill(reordered, { signal: controller.signal })).rejects.toBe('enough')
      assertSameBits(await sequence.prefill(reordered), wanted, `after an abort at layer ${stopAt}`)
    }
    stopAt = -1
    assertSameBits(await prefillOf(model, reordered), dense)
  })

  test.skipIf(!found?.isas.includes('emulated'))(
    'the rows of a layer are on their way while the layer before is computed',
    async () => {
      await using model = await open(gpu)
      const donor = await publish(model)
      const before = readFileSync(trace, 'utf8').length
      await prefillOf(model, reordered, borrower(planFor(donor)))
      const lines = readFileSync(trace, 'utf8').slice(before).trim().split('\n')
      const all = (pattern: RegExp) => lines.flatMap((line, at) => (pattern.test(line) ? [at] : []))
      const streamOf = (at: number) => /^stream (\d+)/.exec(lines[at] as string)?.[1]
      const layers = all(/launch .*AttendPrefill/)
      const { numLayers } = model.config
      expect(layers).toHaveLength(numLayers)
      const ops = streamOf(layers[0] as number)
      const placed = all(/launch .*TurnRows/)
      expect(placed).toHaveLength(numLayers)
      const places = streamOf(placed[0] as number)
      expect(places).not.toBe(ops)

      // Loads wait for nothing but ops that came before their announcement; layer l + 1's comes before layer l's ops.
      const announced = new Set(all(new RegExp(`^stream ${places} wait`)).map((at) => lines[at]?.split(' ')[3]))
      const announcements = all(new RegExp(`^stream ${ops} record`)).filter((at) =>
        announced.has(lines[at]?.split(' ')[3]),
      )
      const starts = layers.map((at) => lines.lastIndexOf(`host waits for stream ${ops}`, at))
      starts.forEach((start, layer) => {
        const wanted = Math.min(numLayers, layer + 2)
        expect(announcements.filter((at) => at < (layers[layer] as number)).length).toBeGreaterThanOrEqual(wanted)
        if (layer + 1 < numLayers)
          expect(announcements[layer + 1]).toBeLessThan(
            lines.findIndex((line, at) => at > start && line.startsWith(`stream ${ops} launch`)),
          )
      })
      // The residual stream of the 31 computed rows goes nowhere between.
      expect(all(new RegExp(`^stream ${ops} copy ${31 * model.config.hiddenDim * 4}$`))).toEqual([])
      // Each layer waits on the device for its rows, and once on the host, at its end; so does the head.
      const stands = new Set(all(new RegExp(`^stream ${places} record`)).map((at) => lines[at]?.split(' ')[3]))
      const awaited = all(new RegExp(`^stream ${ops} wait`)).filter((at) => stands.has(lines[at]?.split(' ')[3]))
      expect(awaited).toHaveLength(numLayers)
      expect(all(new RegExp(`^host waits for stream ${ops}$`))).toHaveLength(numLayers + 1)
    },
  )
})
