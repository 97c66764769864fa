// node tools/gpu/bundle.mjs DIR [--arch 90]: all that a machine with a GPU needs to run the check, and nothing that it would have
// to fetch: the library, the suite and the benchmark, built here, and their sources for a machine whose own compiler must do it.
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { findProgram } from '../find-program.mjs'
import { buildBench, buildEmulated } from '../gpu-build.mjs'

const root = fileURLToPath(new URL('../../', import.meta.url))
const scripts = ['run.sh', 'build.sh', 'report.mjs']

const { values: options, positionals } = parseArgs({ options: { arch: { type: 'string' } }, allowPositionals: true })
if (positionals.length !== 1) fail('which folder? node tools/gpu/bundle.mjs DIR [--arch 90]')
const folder = resolve(positionals[0])
if (existsSync(folder) && readdirSync(folder).length > 0) fail(`${folder} is not empty. Remedy: name a new folder`)

mkdirSync(folder, { recursive: true })
for (const script of scripts) copy(join('tools', 'gpu', script), script)
copy(join('native', 'gpu'), join('native', 'gpu'))
// Headers of the CPU core that the suite shares.
for (const shared of ['cpu', 'include']) copy(join('native', shared), join('native', shared))
const programs = await buildPrograms()
for (const file of programs) {
  cpSync(file, join(folder, file.split('/').at(-1)))
  chmodSync(join(folder, file.split('/').at(-1)), 0o755)
}
const built = programs.length > 0 ? `with ${programs.length} built files` : 'with sources alone (no nvcc here)'
console.log(`${folder}: ${megabytes(folder).toFixed(1)} MB, ${built}. There: bash run.sh`)

/** The library and the two programs, or nothing where there is no nvcc. */
async function buildPrograms() {
  if (!findProgram('nvcc')) return []
  const args = ['--quick', '--plain', ...(options.arch ? ['--arch', options.arch] : [])]
  const check = spawnSync(process.execPath, [join(root, 'tools', 'cuda-check.mjs'), ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (check.status !== 0) fail('cuda-check found something wrong. Remedy: pnpm -s cuda-check says what')
  const suite = await buildEmulated({ plain: true })
  const bench = await buildBench({ plain: true })
  if (!suite.ok || !bench.ok) fail(`${suite.log}${bench.log}`)
  const kind = `cuda-${options.arch ?? 'all'}`
  return [join(root, 'native', 'build', 'gpu', kind, 'libkvasir_cuda.so'), suite.suite, bench.bench]
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
