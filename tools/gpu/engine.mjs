// node engine.mjs LIBRARY [--tokens N] [--prompt N] [--backend cuda]: the engine on cpu and on another backend, fed the same tokens:
// are the logits the same, and what follows? Ends with 1 where they are not, with 3 where the engine cannot be had.
import { parseArgs } from 'node:util'

const maxRelativeError = 2e-2
// A text of this repository's own, long enough for several pages and chunks.
const text =
  'The ferry leaves at seven, when the tide allows. Its captain counts the cars twice and the dogs once. '.repeat(12)

const { values, positionals } = parseArgs({
  options: {
    tokens: { type: 'string', default: '32' },
    prompt: { type: 'string', default: '240' },
    backend: { type: 'string', default: 'cuda' },
  },
  allowPositionals: true,
})
const { loadKernels, loadLlama, encodePrompt, modelPath } = await importEngine()
const cpu = await run('cpu', [])
const other = await run(values.backend, cpu.chosen)
const errors = cpu.logits.map((want, step) => relativeError(other.logits[step], want))
const worst = Math.max(...errors)
const agreed = cpu.chosen.filter((token, step) => token === other.chosen[step]).length
console.log(
  `logits off by ${worst.toPrecision(3)} at most, allowed ${maxRelativeError}; ${agreed} of ${cpu.chosen.length} tokens agree`,
)
if (!(worst <= maxRelativeError)) process.exitCode = 1

/** Prefills the prompt and decodes the tokens that are given, or its own where they are not. */
async function run(backend, given) {
  const gpuLibrary = backend === 'cuda' ? { gpuLibrary: positionals[0] } : {}
  const kernels = await loadKernels({ backend, ...gpuLibrary })
  const model = await loadLlama({ model: modelPath, kernels, mode: 'exact', contextTokens: 512 })
  const sequence = model.createSequence()
  try {
    let logits = await sequence.prefill(encodePrompt(model, text).slice(0, Number(values.prompt)))
    const result = { logits: [], chosen: [] }
    for (let step = 0; step < Number(values.tokens); ++step) {
      const best = logits.indexOf(Math.max(...logits))
      result.logits.push(Float32Array.from(logits))
      result.chosen.push(best)
      logits = await sequence.decode(given[step] ?? best)
    }
    return result
  } finally {
    await sequence.dispose()
    await model.dispose()
    await kernels.dispose()
  }
}

function relativeError(got, want) {
  let apart = 0
  let whole = 0
  for (let i = 0; i < want.length; ++i) {
    apart += (got[i] - want[i]) ** 2
    whole += want[i] ** 2
  }
  return Math.sqrt(apart / whole)
}

async function importEngine() {
  try {
    const [kernels, llama, model] = await Promise.all([
      import('@kvasir/kernels'),
      import('@kvasir/llama'),
      import('@kvasir/model-smollm2-135m-instruct'),
    ])
    return { ...kernels, ...llama, ...model }
  } catch (error) {
    console.log(`not run (${error.message.split('\n')[0]})`)
    process.exit(3)
  }
}
