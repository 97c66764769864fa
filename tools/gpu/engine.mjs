// node engine.mjs LIBRARY [--model FILE] [--tokens N] [--prompt N]: the engine on cpu and on a GPU in exact mode, fed the same
// tokens: are all logits of prompts and of what follows the same, and the greedy choices? Of a whole model the golden outputs too.
// Ends with 1 where they are not, with 3 where the engine cannot be had. Lines are appended to --rows FILE where it is given.
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

/** Of a logit, with rows of the cache in float16. */
const tolerance = 2e-2
/** Of the two largest logits, from which on the choice must be the same. */
const clearGap = 0.1

const { values, positionals } = parseArgs({
  options: {
    model: { type: 'string' },
    rows: { type: 'string' },
    tokens: { type: 'string', default: '32' },
    prompt: { type: 'string', default: '256' },
  },
  allowPositionals: true,
})
if (positionals.length !== 1) stop('usage: node engine.mjs LIBRARY [--model FILE] [--tokens N] [--prompt N]')
const { loadKernels, loadLlama, modelPath, isWhole } = await importEngine()
const goldens = firstOf(['goldens/', '../../packages/llama/test-fixtures/'])
if (goldens === undefined) stop('the prompts are not there')
const greedy = readGolden('greedy.json')
const logits = readGolden('logits.json')
let wrong = false

const cpu = await open('cpu')
const gpu = await open('cuda')
try {
  const vocabulary = (await run(cpu.model, [1])).logits[0].length
  const prompts = [
    ...greedy.map(({ name, promptIds }) => ({ name, ids: promptIds })),
    { name: 'book', ids: logits.find(({ name }) => name === 'book').ids },
  ].map(({ name, ids }) => ({
    name,
    // A vocabulary that was cut has other words: which ones does not matter.
    ids: ids.slice(0, Number(values.prompt)).map((id) => id % vocabulary),
  }))
  let [largest, choices, demanded] = [0, 0, 0]
  for (const { name, ids } of prompts) {
    const want = await run(cpu.model, ids)
    const got = await run(gpu.model, ids, want.tokens)
    const apart = largestDifference(got.logits, want.logits)
    const clear = want.tokens.filter((_, step) => gapOf(want.logits[ids.length - 1 + step]) > clearGap).length
    const differ = want.tokens.filter(
      (token, step) => gapOf(want.logits[ids.length - 1 + step]) > clearGap && got.tokens[step] !== token,
    ).length
    judge(`cpu and cuda, "${name}", ${ids.length} tokens and ${want.tokens.length}`, apart, differ, clear)
    largest = Math.max(largest, apart)
    choices += clear - differ
    demanded += clear
  }
  const { runs, graphs, refusedGraphs, refusal } = gpu.kernels.gpuCounts()
  console.log(`engine       ${graphs} of ${runs} runs were one graph`)
  tell({ kind: 'value', shape: 'runs that were one graph', value: graphs / runs, unit: 'of all' })
  // A decode step is one from its third time on.
  if (refusal !== '') tellWrong('graphs of decode steps', `${refusedGraphs} refused: ${refusal}`)
  const against = isWhole ? await againstGoldens(gpu.model) : 'goldens not run (the first layers of a model)'
  console.log(
    `${wrong ? 'WRONG' : 'ok'}: logits of cpu and cuda are ${largest.toPrecision(3)} apart at most, allowed ${tolerance}; ${choices} of ${demanded} clear choices agree; ${against}`,
  )
} finally {
  for (const { model, kernels } of [cpu, gpu]) {
    await model.dispose()
    await kernels.dispose()
  }
}
if (wrong) process.exitCode = 1

/** All logits of a prompt, then those of the tokens that are given, or of its own where they are not. */
async function run(model, ids, given) {
  const sequence = model.createSequence()
  try {
    const all = []
    await sequence.prefill(ids, { onLogits: (_, row) => all.push(row.slice()) })
    const tokens = []
    for (let step = 0; step < Number(values.tokens); ++step) {
      tokens.push(argMaxOf(all.at(-1)))
      all.push((await sequence.decode(given?.[step] ?? tokens.at(-1))).slice())
    }
    return { logits: all, tokens }
  } finally {
    await sequence.dispose()
  }
}

/** The bundled model's reference outputs, of float64: logits within the tolerance, greedy tokens where the gap is clear. */
async function againstGoldens(model) {
  let largest = 0
  for (const { name, ids, checks } of logits) {
    const sequence = model.createSequence()
    const rows = []
    await sequence.prefill(ids, { onLogits: (_, row) => rows.push(row.slice()) })
    await sequence.dispose()
    let apart = 0
    for (const { position, top, every4096th } of checks) {
      for (const [id, value] of top) apart = Math.max(apart, Math.abs(rows[position][id] - value))
      every4096th.forEach((value, i) => {
        apart = Math.max(apart, Math.abs(rows[position][i * 4096] - value))
      })
    }
    judge(`golden logits, "${name}"`, apart, 0, 0)
    largest = Math.max(largest, apart)
  }
  for (const { name, promptIds, greedy: tokens, margins } of greedy) {
    const sequence = model.createSequence()
    let row = await sequence.prefill(promptIds)
    let [differ, clear] = [0, 0]
    for (const [step, token] of tokens.entries()) {
      if (margins[step] > clearGap) {
        ++clear
        if (argMaxOf(row) !== token) ++differ
      }
      row = await sequence.decode(token)
    }
    await sequence.dispose()
    judge(`golden tokens, "${name}"`, 0, differ, clear)
  }
  return `golden logits ${largest.toPrecision(3)} apart at most`
}

function tell(row) {
  if (values.rows) appendFileSync(values.rows, `${JSON.stringify({ step: 'engine', family: 'engine', ...row })}\n`)
}

function tellWrong(shape, why) {
  wrong = true
  tell({ kind: 'wrong', shape, why })
}

function judge(what, apart, differ, clear) {
  const ok = apart <= tolerance && differ === 0
  const found = `${apart.toPrecision(3)} apart at most, ${clear - differ} of ${clear} clear choices agree`
  console.log(`engine       ${what}: ${found}${ok ? '' : '  WRONG'}`)
  if (!ok) return tellWrong(what, found)
  tell({ kind: 'value', shape: what, value: apart, unit: 'largest difference of a logit' })
}

async function open(backend) {
  const kernels = await loadKernels({ backend, ...(backend === 'cuda' ? { gpuLibrary: positionals[0] } : {}) })
  return { kernels, model: await loadLlama({ model: modelPath, kernels, mode: 'exact', contextTokens: 2048 }) }
}

function largestDifference(got, want) {
  let largest = got.length === want.length ? 0 : Number.POSITIVE_INFINITY
  for (let row = 0; row < want.length; ++row) {
    for (let i = 0; i < want[row].length; ++i) {
      const apart = Math.abs(got[row][i] - want[row][i])
      if (!(apart <= largest)) largest = Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart
    }
  }
  return largest
}

function argMaxOf(row) {
  let best = 0
  for (let i = 1; i < row.length; ++i) if (row[i] > row[best]) best = i
  return best
}

function gapOf(row) {
  const best = argMaxOf(row)
  let second = Number.NEGATIVE_INFINITY
  for (let i = 0; i < row.length; ++i) if (i !== best && row[i] > second) second = row[i]
  return row[best] - second
}

/** What a bundle carries beside this file, else the packages of this repository. */
async function importEngine() {
  try {
    const beside = fileURLToPath(new URL('kvasir.mjs', import.meta.url))
    const engine = existsSync(beside)
      ? await import(beside)
      : { ...(await import('@kvasir/kernels')), ...(await import('@kvasir/llama')) }
    const short = fileURLToPath(new URL('model.gguf', import.meta.url))
    const named = values.model ?? (existsSync(short) ? short : undefined)
    const modelPath = named ?? (await import('@kvasir/model-smollm2-135m-instruct')).modelPath
    return { ...engine, modelPath, isWhole: named === undefined }
  } catch (error) {
    stop(error.message.split('\n')[0])
  }
}

function firstOf(folders) {
  return folders
    .map((folder) => new URL(folder, import.meta.url))
    .find((folder) => existsSync(new URL('greedy.json', folder)))
}

function readGolden(name) {
  return JSON.parse(readFileSync(new URL(name, goldens), 'utf8'))
}

function stop(why) {
  console.log(`not run (${why})`)
  process.exit(3)
}
