import { loadLlama } from '@kvasir/llama'
import { parsePolicySpec, planArms, readBookWindows, runWindows } from './src/index.ts'

const model = await loadLlama({
  model: '/work/main/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf',
  mode: (process.argv[2] ?? 'fast') as never,
  kvCapacityTokens: 16384,
})
const list = readBookWindows('/work/shared/data/open')!
const specs = ['full', 'window', 'random', 'oracle', 'oracle:jointHeads=true', 'sentence-kv'].map(parsePolicySpec)
const t = performance.now()
const pick = (process.argv[3] ?? '0').split(',').map(Number)
for await (const r of runWindows(model, {
  folder: list.folder,
  windows: pick.map((i) => list.windows[i]),
  arms: planArms(specs, [128, 512]),
  lengths: [4096],
}))
  console.log(
    r.id,
    r.policy,
    r.budget,
    r.nllFullNats.toFixed(4),
    r.klNats.toFixed(5),
    r.top1.toFixed(3),
    r.attendedTokensMean.toFixed(1),
    r.poolTokensMean.toFixed(1),
    (r.hotBytes / 1e6).toFixed(2),
    ((performance.now() - t) / 1e3).toFixed(1),
  )
await model.dispose()
