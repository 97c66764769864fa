import type { PrefillView } from '../views.ts'
import { assertClose } from './close.ts'
import type { EngineSuiteOptions } from './engine-suite.ts'
import type { EngineUnderTest } from './engine-under-test.ts'
import { probePolicy, selecting } from './probe-policy.ts'
import {
  assertUndisturbed,
  check,
  decodeRecorded,
  openRecorded,
  prefillRecorded,
  runScript,
  whereCan,
} from './suite-run.ts'

/** Half precision of the rows, seen through a softmax. */
const tolerance = 2e-3

/** The attention that policies see, of steps and of prompts: tests of capabilities that an engine may lack, skipped where it does. */
export function addAttentionTests(engineOf: () => Promise<EngineUnderTest>, options: EngineSuiteOptions): void {
  const { test, prompt, decoded } = options
  const script = { prompt, decoded }
  const needs = whereCan(engineOf)

  test(
    'gives the weights of attention over the rows that are asked for',
    needs('observe.attention-weights', async (engine) => {
      const sums: number[] = []
      const asking = selecting('layer', (step) => {
        const { numHeads, numKvHeads } = engine.profile.shape.layers[step.layer!]
        const indices = Int32Array.from([0, 3, 5, step.numTokens - 1])
        const weights = step.weights!(numKvHeads - 1, indices)
        check(weights.length === (numHeads / numKvHeads) * indices.length, `${weights.length} weights`)
        for (let at = 0; at < weights.length; at += indices.length) {
          sums.push(weights.subarray(at, at + indices.length).reduce((sum, weight) => sum + weight, 0))
        }
        return { kind: 'all' }
      })
      assertUndisturbed(await runScript(engine, script, asking))
      check(sums.length > 0, 'weights were never asked for')
      assertClose(
        sums,
        sums.map(() => 1),
        { absolute: 1e-5 },
      )
    }),
  )

  test(
    'sums the attention of the rows of all prompts, as often as they are cut',
    needs('observe.attention-mass', async (engine) => {
      const { layers } = engine.profile.shape
      let due = 0
      let asked = 0
      const observing = probePolicy({ slots: ['retain'], observes: { allRows: true } }, () => ({
        async retain({ attention }) {
          if (!attention) return {}
          asked++
          for (const [layer, { numHeads }] of layers.entries()) {
            checkSums(await attention.totalMass(layer), numHeads, due)
          }
          return {}
        },
      }))
      const record = await openRecorded(engine, observing)
      const read = (tokens: Int32Array, numRead: number) => {
        due = numRead
        return prefillRecorded(record, { prompt: tokens, decoded, chunkTokens: 16 })
      }
      await read(prompt, prompt.length)
      await decodeRecorded(record, decoded)
      await read(decoded, prompt.length + decoded.length)
      let asks = 2
      if (engine.profile.capabilities.has('kv.rewind')) {
        await record.sequence.rewind(prompt.length + decoded.length + 1)
        await read(decoded.slice(1), prompt.length + decoded.length)
        await record.sequence.rewind(prompt.length - 7)
        await read(prompt.slice(-7), prompt.length)
        asks += 2
      }
      await record.sequence[Symbol.asyncDispose]()
      assertUndisturbed(record)
      check(asked === asks, `${asked} prompts ended`)
    }),
  )

  test(
    'gives the attention of the prompt, as its last row pays it when it is decoded',
    needs('observe.attention-mass', async (engine) => {
      const { layers } = engine.profile.shape
      const seen: PrefillView[] = []
      const masses: Float32Array[] = []
      const totals: Float32Array[] = []
      const observing = probePolicy({ slots: ['retain'], observes: { windowTokens: 4, allRows: true } }, () => ({
        async retain(view) {
          seen.push(view)
          if (!view.attention) return {}
          check(view.attention.windowTokens === 4, `a window of ${view.attention.windowTokens} rows`)
          for (let layer = 0; layer < layers.length; layer++) {
            masses[layer] = await view.attention.windowMass(layer, 1)
            totals[layer] = await view.attention.totalMass(layer)
            const window = await view.attention.windowMass(layer)
            checkSums(window, layers[layer].numHeads, 4)
          }
          return {}
        },
      }))
      assertUndisturbed(await runScript(engine, { ...script, chunkTokens: 16 }, observing))
      check(
        seen.every(({ last, attention }) => last === (attention !== undefined)),
        'attention stands with the last chunk',
      )
      totals.forEach((mass, layer) => {
        checkSums(mass, layers[layer].numHeads, prompt.length)
      })
      if (!engine.profile.capabilities.has('observe.attention-weights')) return
      const all = Int32Array.from(prompt, (_, index) => index)
      let at = 0
      const comparing = selecting('layer', (step) => {
        const { numHeads, numKvHeads } = layers[step.layer!]
        if (step.numTokens === prompt.length) {
          const rows = Array.from({ length: numKvHeads }, (_, kvHead) => [...step.weights!(kvHead, all)])
          check(rows.flat().length === numHeads * prompt.length, 'a weight a query head and row')
          assertClose(masses[step.layer!], rows.flat(), { absolute: tolerance })
          at++
        }
        return { kind: 'all' }
      })
      const shorter = { prompt: prompt.slice(0, -1), decoded: prompt.slice(-1) }
      assertUndisturbed(await runScript(engine, shorter, comparing))
      check(at === layers.length, `${at} layers were compared`)
    }),
  )
}

function checkSums(mass: Float32Array, numHeads: number, expected: number): void {
  const numTokens = mass.length / numHeads
  const sums = Array.from({ length: numHeads }, (_, head) =>
    mass.subarray(head * numTokens, (head + 1) * numTokens).reduce((sum, value) => sum + value, 0),
  )
  assertClose(
    sums,
    sums.map(() => expected),
    { absolute: tolerance * expected },
  )
}
