import { droppedSpans } from '../dropped-spans.ts'
import type { CachePolicy } from '../policy.ts'
import { indicesOfRow, intersectRuns, type RunList, runsOfIndices, runsOfSpans, spansOfRow } from '../run-list.ts'
import { complementSpans, mergeSpans } from '../spans.ts'
import type { KvReader, StepView } from '../views.ts'
import type { EngineSuiteOptions } from './engine-suite.ts'
import type { EngineUnderTest } from './engine-under-test.ts'
import { probePolicy, selecting } from './probe-policy.ts'
import {
  assertSameLogits,
  assertUndisturbed,
  check,
  decodeRecorded,
  openRecorded,
  prefillRecorded,
  runScript,
  whereCan,
} from './suite-run.ts'

/** Which rows each head reads: the tests of capabilities that an engine may lack, skipped where it does. */
export function addHeadTests(engineOf: () => Promise<EngineUnderTest>, options: EngineSuiteOptions): void {
  const { test, prompt, decoded } = options
  const script = { prompt, decoded }
  const needs = whereCan(engineOf)

  test(
    'reads after a plan what it keeps a KV head, and every later row',
    needs('retain.per-head', async (engine) => {
      const keep = keptLists(engine, prompt.length)
      const kept = await runScript(engine, script, keeping(keep))
      const chosen = await runScript(
        engine,
        script,
        selecting('layer', (step) => ({ kind: 'runs', runs: withLater(keep, prompt.length, step) })),
      )
      assertUndisturbed(kept)
      assertUndisturbed(chosen)
      assertSameLogits(kept.logits, chosen.logits, 'kept rows against the same rows selected')
    }),
  )

  test(
    'reads of a selection what is kept',
    needs('retain.per-head', async (engine) => {
      const keep = keptLists(engine, prompt.length)
      const recent = (step: StepView) => recentRows(engine, step)
      const both = selectingWhileKeeping(keep, recent)
      const narrowed = selecting('layer', (step) => ({
        kind: 'runs',
        runs: intersectRuns(recent(step), withLater(keep, prompt.length, step)),
      }))
      const [kept, chosen] = [await runScript(engine, script, both), await runScript(engine, script, narrowed)]
      assertUndisturbed(kept)
      assertSameLogits(kept.logits, chosen.logits, 'kept and selected')
    }),
  )

  test(
    'reads a second prompt over what the first one kept',
    needs('retain.per-head', async (engine) => {
      const keep = keptLists(engine, prompt.length)
      let asked = 0
      const policy = probePolicy({ slots: ['retain'] }, () => ({
        retain: async ({ last }) => (last && asked++ === 0 ? { keep } : {}),
      }))
      const read = await openRecorded(engine, policy)
      await prefillRecorded(read, script)
      await prefillRecorded(read, { prompt: decoded, decoded })
      const decodedToo = await runScript(engine, script, keeping(keep))
      await read.sequence[Symbol.asyncDispose]()
      assertUndisturbed(read)
      assertSameLogits(read.logits.slice(1), decodedToo.logits.slice(-1), 'read against decoded')
    }),
  )

  test(
    'tells policies which rows a plan dropped',
    needs('retain.per-head', async (engine) => {
      const keep = keptLists(engine, prompt.length)
      let asked = 0
      const compare = (kv: KvReader, plannedTokens: number) => {
        keep.forEach((list, layer) => {
          for (let kvHead = 0; kvHead + 1 < list.rowStarts.length; kvHead++) {
            const due = complementSpans(mergeSpans(spansOfRow(list, kvHead)), plannedTokens)
            const told = droppedSpans(kv, layer, kvHead)
            check(JSON.stringify(told) === JSON.stringify(due), `other rows are dropped at layer ${layer}`)
          }
        })
        asked++
      }
      let plannedTokens = 0
      const policy = probePolicy({ slots: ['retain', 'select', 'append'], selectScope: 'layer' }, () => ({
        async retain({ kv, last }) {
          compare(kv, plannedTokens)
          if (!last || plannedTokens > 0) return {}
          plannedTokens = prompt.length
          return { keep }
        },
        select: ({ kv }) => {
          compare(kv, plannedTokens)
          return { kind: 'all' }
        },
        append: ({ kv }) => compare(kv, plannedTokens),
      }))
      const record = await openRecorded(engine, policy)
      await prefillRecorded(record, { ...script, chunkTokens: 16 })
      await decodeRecorded(record, decoded)
      await prefillRecorded(record, { prompt: decoded, decoded })
      if (engine.profile.capabilities.has('kv.rewind')) {
        plannedTokens -= 9
        await record.sequence.rewind(plannedTokens)
        await decodeRecorded(record, decoded)
      }
      await record.sequence[Symbol.asyncDispose]()
      assertUndisturbed(record)
      check(asked > 2 * decoded.length, 'the policy was not asked')
    }),
  )

  test(
    'takes lists with a row a query head',
    needs('select.per-query-head', async (engine) => {
      const ofKvHead = (step: StepView) => withLater(keptLists(engine, prompt.length), prompt.length, step)
      const shared = await runScript(
        engine,
        script,
        selecting('layer', (step) => ({ kind: 'runs', runs: ofKvHead(step) })),
      )
      const repeated = await runScript(
        engine,
        script,
        selecting('layer', (step) => ({ kind: 'runs', runs: repeatRows(engine, step, ofKvHead(step)) })),
      )
      assertUndisturbed(repeated)
      assertSameLogits(repeated.logits, shared.logits, 'the rows of KV heads, repeated for their query heads')
      const { numHeads } = engine.profile.shape.layers[0]
      const apart = selecting('layer', ({ numTokens }) => ({
        kind: 'runs',
        runs: runsOfIndices(Array.from({ length: numHeads }, (_, head) => [head, numTokens - 1])),
      }))
      const run = await runScript(engine, script, apart)
      assertUndisturbed(run)
      check(run.logits.at(-1)!.every(Number.isFinite), 'lists that differ by query head give no numbers')
    }),
  )

  test(
    'reads moved rows as if they stood elsewhere',
    needs('select.moved', async (engine) => {
      const moving = (by: number) =>
        selecting('layer', (step) => ({
          kind: 'runs',
          runs: recentRows(engine, step),
          moved: [{ start: 0, end: 2, by }],
        }))
      const still = await runScript(
        engine,
        script,
        selecting('layer', (step) => ({ kind: 'runs', runs: recentRows(engine, step) })),
      )
      const [unmoved, moved] = [await runScript(engine, script, moving(0)), await runScript(engine, script, moving(9))]
      assertUndisturbed(moved)
      assertSameLogits(unmoved.logits, still.logits, 'moved by nothing')
      check(
        moved.logits.at(-1)!.some((value, at) => value !== still.logits.at(-1)![at]),
        'moving rows changed nothing',
      )
      const after = await runScript(engine, script)
      assertSameLogits((await runScript(engine, script)).logits, after.logits, 'other sequences after a move')
    }),
  )
}

function keeping(keep: readonly RunList[]): CachePolicy {
  return probePolicy({ slots: ['retain'] }, () => ({ retain: async ({ last }) => (last ? { keep } : {}) }))
}

function selectingWhileKeeping(keep: readonly RunList[], runsOf: (step: StepView) => RunList): CachePolicy {
  return probePolicy({ slots: ['retain', 'select'], selectScope: 'layer' }, () => ({
    retain: async ({ last }) => (last ? { keep } : {}),
    select: (step) => ({ kind: 'runs', runs: runsOf(step) }),
  }))
}

/** Other rows for each layer and KV head. */
function keptLists({ profile }: EngineUnderTest, numTokens: number): RunList[] {
  return profile.shape.layers.map(({ numKvHeads }, layer) =>
    runsOfIndices(
      Array.from({ length: numKvHeads }, (_, kvHead) =>
        Array.from({ length: numTokens }, (_, index) => index).filter((index) => (index + layer + kvHead) % 3 === 0),
      ),
    ),
  )
}

/** What is kept of a prompt of promptTokens rows, and every row after it. */
function withLater(keep: readonly RunList[], promptTokens: number, { layer, numTokens }: StepView): RunList {
  const list = keep[layer!]
  const later = Array.from({ length: numTokens - promptTokens }, (_, at) => promptTokens + at)
  const numRows = list.rowStarts.length - 1
  return runsOfIndices(Array.from({ length: numRows }, (_, row) => [...indicesOfRow(list, row), ...later]))
}

/** A few rows at either end. */
function recentRows({ profile }: EngineUnderTest, { layer, numTokens }: StepView): RunList {
  const ends = [
    { start: 0, end: 2 },
    { start: numTokens - 12, end: numTokens },
  ]
  return runsOfSpans(ends, profile.shape.layers[layer!].numKvHeads)
}

/** The row of each KV head, once for each query head that reads it. */
function repeatRows({ profile }: EngineUnderTest, { layer }: StepView, list: RunList): RunList {
  const { numHeads, numKvHeads } = profile.shape.layers[layer!]
  const group = numHeads / numKvHeads
  return runsOfIndices(Array.from({ length: numHeads }, (_, head) => indicesOfRow(list, Math.floor(head / group))))
}
