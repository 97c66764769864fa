// node tools/gpu/bundle.mjs DIR [--arch 90] [--engine [--layers N] [--vocabulary N] [--node]]: all that a machine with a GPU needs
// to run the check, and nothing that it would have to fetch: the library, the suite and the benchmark, built here, and their
// sources for a machine whose own compiler must do it. --engine: the engine in one file, the addon, the first layers of the
// bundled model; with --node this machine's node too, packed.
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, openSync, readdirSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { findProgram } from '../find-program.mjs'
import { shortenModel } from './shorten-model.mjs'

const root = fileURLToPath(new URL('../../', import.meta.url))
const scripts = ['run.sh', 'build.sh', 'suite.sh', 'report.mjs', 'rivals.mjs', 'rivals.py', 'engine.mjs']

const { values: options, positionals } = parseArgs({
  options: {
    arch: { type: 'string', default: '90' },
    engine: { type: 'boolean', default: false },
    layers: { type: 'string', default: '3' },
    vocabulary: { type: 'string', default: '4096' },
    node: { type: 'boolean', default: false },
  },
  allowPositionals: true,
})
if (positionals.length !== 1) fail('which folder? node tools/gpu/bundle.mjs DIR [--arch 90] [--engine]')
const folder = resolve(positionals[0])
if (existsSync(folder) && readdirSync(folder).length > 0) fail(`${folder} is not empty. Remedy: name a new folder`)

mkdirSync(folder, { recursive: true })
for (const script of scripts) copy(join('tools', 'gpu', script), script)
copy(join('native', 'gpu'), join('native', 'gpu'))
// Headers of the CPU core that the suite shares.
for (const shared of ['cpu', 'include']) copy(join('native', shared), join('native', shared))
const programs = buildPrograms()
for (const file of programs) {
  cpSync(file, join(folder, file.split('/').at(-1)))
  chmodSync(join(folder, file.split('/').at(-1)), 0o755)
}
if (options.engine) await addEngine(join(folder, 'engine'))
const built = programs.length > 0 ? `with ${programs.length} built files` : 'with sources alone (no nvcc here)'
console.log(`${folder}: ${megabytes(folder).toFixed(1)} MB, ${built}. There: bash run.sh`)

/** What engine.mjs needs, beside it. */
async function addEngine(to) {
  // The addon must be of the same arguments as the library.
  const addon = spawnSync(process.execPath, [join(root, 'tools', 'bootstrap.mjs'), 'build'], { stdio: 'inherit' })
  if (addon.status !== 0) fail('the addon was not built')
  mkdirSync(join(to, 'build', 'Release'), { recursive: true })
  const fixtures = join('packages', 'llama', 'test-fixtures')
  for (const name of ['greedy.json', 'logits.json']) copy(join(fixtures, name), join('engine', 'goldens', name))
  copy(join('tools', 'gpu', 'engine.mjs'), join('engine', 'engine.mjs'))
  copy(join('native', 'build', 'Release', 'kvasir.node'), join('engine', 'build', 'Release', 'kvasir.node'))
  const model = createRequire(join(root, 'tools', 'package.json')).resolve('@kvasir/model-smollm2-135m-instruct')
  const { modelPath } = await import(model)
  const sizes = { layers: Number(options.layers), vocabulary: Number(options.vocabulary) }
  shortenModel(modelPath, join(to, 'model.gguf'), sizes)
  // Whatever builds the packages brings it.
  const { build } = await import(
    createRequire(createRequire(join(root, 'package.json')).resolve('tsup')).resolve('esbuild')
  )
  await build({
    stdin: {
      contents: "export * from '@kvasir/kernels'\nexport * from '@kvasir/llama'",
      resolveDir: join(root, 'tools'),
    },
    outfile: join(to, 'kvasir.mjs'),
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    conditions: ['@kvasir/source'],
    logLevel: 'warning',
  })
  if (options.node) packNode(join(to, 'node.xz'))
}

function packNode(to) {
  const xz = findProgram('xz')
  if (!xz) fail('node was not packed. Remedy: xz must be there, or leave --node out')
  const packed = spawnSync(xz, ['-9', '-c', process.execPath], { stdio: ['ignore', openSync(to, 'w'), 'inherit'] })
  if (packed.status !== 0) fail('node was not packed')
}

/** The library and the two programs, or nothing where there is no nvcc. */
function buildPrograms() {
  if (!findProgram('nvcc')) return []
  const target = join(root, 'native', 'build', 'gpu', `bundle-${options.arch}`)
  const build = spawnSync('bash', [join(root, 'tools', 'gpu', 'build.sh'), target], {
    stdio: 'inherit',
    env: { ...process.env, KVASIR_GPU_ARCH: options.arch },
  })
  if (build.status !== 0) fail('the library or a program was not built')
  return ['libkvasir_cuda.so', 'kvasir_gpu_suite', 'kvasir_gpu_bench'].map((name) => join(target, name))
}

function copy(from, to) {
  mkdirSync(dirname(join(folder, to)), { recursive: true })
  cpSync(join(root, from), join(folder, to), { recursive: true })
}

function megabytes(path) {
  const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return files.reduce((sum, file) => sum + statSync(join(file.parentPath ?? file.path, file.name)).size, 0) / 1e6
}

function fail(message) {
  console.error(message)
  process.exit(1)
}
