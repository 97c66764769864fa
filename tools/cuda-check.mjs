// `pnpm -s cuda-check`: compiles the GPU backend for every architecture, holds what came out against native/gpu/expected,
// links it, asks it for a device and runs the suite on the emulation, and on the device if there is one.
// Options: native/gpu/README.md. Exit codes: 0 all well, 1 something is wrong.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { findProgram } from './find-program.mjs'
import { buildEmulated, compileCached, findCompiler, gpuDir, linkCached, listOps, runProgram } from './gpu-build.mjs'
import { auditPtx, compare, describe, occupancyOf, parseResources } from './gpu-expect.mjs'

const architectures = ['80', '86', '89', '90', '100', '120']
// For devices that come between or after: they compile it themselves.
const ptxArchitectures = ['80', '120']
// Another release of the compiler counts otherwise: only compilation, spills and exports are held then.
const gatedRelease = '13.0'
const buildDir = fileURLToPath(new URL('../native/build/gpu/', import.meta.url))
/** Shapes that the suite has of every op at least. */
const fewestShapes = 40
const expectedDir = join(gpuDir, 'expected')

const { values: options } = parseArgs({
  options: {
    arch: { type: 'string' },
    op: { type: 'string', multiple: true, default: [] },
    emulated: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    plain: { type: 'boolean', default: false },
    races: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    update: { type: 'boolean', default: false },
  },
})
const unknown = options.op.filter((name) => !listOps().some((op) => op.name === name))
if (unknown.length > 0) throw new Error(`no such op: ${unknown.join(', ')}; see native/gpu/ops.inc`)
if (options.update && options.arch) throw new Error('--update takes the most of all architectures: leave --arch out')
if (options.races && options.plain) throw new Error('--races is a sanitizer: leave --plain out')
const archs = options.arch ? [options.arch] : architectures
const problems = []

const emulated = await runEmulated()
if (!options.plain && !options.quick && !options.races) await lookForRaces()
const nvcc = options.emulated ? undefined : findProgram('nvcc')
const release = nvcc ? await releaseOf(nvcc) : undefined
const device = nvcc
  ? await checkDevice()
  : { compiled: `not compiled: ${options.emulated ? '--emulated' : 'nvcc not found'}` }
for (const problem of problems) console.log(`wrong: ${problem}`)
const held = release === gatedRelease ? 'ok' : `ok but counts, which are of nvcc ${gatedRelease}, not ${release}`
const gates = nvcc ? `; gates ${problems.some((text) => text.startsWith('gate')) ? 'FAILED' : held}` : ''
console.log(
  `cuda: ${device.compiled}; emulated ${emulated}${gates}; device: ${device.suite ?? 'not run (not compiled)'}`,
)
process.exitCode = problems.length > 0 ? 1 : 0

async function runEmulated() {
  if (!findCompiler()) {
    problems.push('no C++ compiler: the emulation was not built')
    return 'not run (no C++ compiler)'
  }
  const build = await buildEmulated({ plain: options.plain, races: options.races })
  if (!build.ok) {
    problems.push(`the emulation did not compile\n${build.log}`)
    return 'not run (did not compile)'
  }
  if (build.log) problems.push(`the compiler warns\n${build.log}`)
  if (options.races && !build.sanitized)
    problems.push('the thread sanitizer is not installed: races were not looked for')
  else if (!options.plain && !build.sanitized)
    console.log('sanitizers are not installed: global memory out of bounds goes unnoticed')
  const faults = await runProgram(build.contextTest, [], (text) => process.stdout.write(text))
  if (!faults.ok) problems.push('the emulation overlooks faults')
  return runSuite(build.suite, build.library)
}

/** The smallest shapes once more, with blocks at once: what they do to each other's memory shows there alone. */
async function lookForRaces() {
  const build = findCompiler() ? await buildEmulated({ races: true }) : { ok: false, sanitized: false }
  if (!build.sanitized) return console.log('races: not run (no thread sanitizer)')
  if (!build.ok) return problems.push(`the emulation did not compile with the thread sanitizer\n${build.log}`)
  console.log(`races: ${await runSuite(build.suite, build.library, true)}`)
}

async function runSuite(suite, library, quick = options.quick) {
  const args = [
    library,
    '--seed',
    options.seed,
    ...(quick ? ['--quick'] : []),
    ...options.op.flatMap((op) => ['--op', op]),
  ]
  const { code, log } = await runProgram(suite, args, (text) => process.stdout.write(text))
  const last = log.trim().split('\n').at(-1)
  if (code === 3) return last
  if (code !== 0) problems.push(`the suite failed on ${library}${code === null ? '' : ` with ${code}`}`)
  if (!quick) checkShapes(log)
  return /^\d+ passed, \d+ failed$/.test(last) ? last : 'FAILED'
}

/** An op that is hardly tried shows little by passing. */
function checkShapes(log) {
  const counts = [...log.matchAll(/^\w+ (\w+) \((\d+) shapes\): /gm)].map(([, op, shapes]) => [op, Number(shapes)])
  const ops = counts.filter(([op]) => op !== 'machine').sort(([, a], [, b]) => a - b)
  if (ops.length === 0) return
  console.log(`fewest shapes: ${ops[0][1]}, of ${ops[0][0]}`)
  for (const [op, shapes] of ops)
    if (shapes < fewestShapes) problems.push(`${op} has ${shapes} shapes, at least ${fewestShapes} are wanted`)
}

async function checkDevice() {
  const flags = [
    '-std=c++17',
    '-O3',
    '--fmad=false',
    ...['-Xcompiler', '-fPIC,-fvisibility=hidden,-Wall'],
    ...['-Xptxas', '-v,-warn-spills,-warn-lmem-usage'],
    ...['-Werror', 'all-warnings'],
  ]
  const code = archs.flatMap((arch) => ['-gencode', `arch=compute_${arch},code=sm_${arch}`])
  const ptx = options.arch
    ? []
    : ptxArchitectures.flatMap((arch) => ['-gencode', `arch=compute_${arch},code=compute_${arch}`])
  const kind = `cuda-${options.arch ?? 'all'}`
  const ops = listOps().filter((op) => options.op.length === 0 || options.op.includes(op.name))

  const objects = []
  let kernels = 0
  const table = []
  for (const op of ops) {
    const source = `ops/${op.file}.cu`
    const compiled = await compileCached(nvcc, [...flags, ...code, ...ptx], source, kind)
    if (!compiled.ok) {
      problems.push(`gate: ${source} did not compile\n${compiled.log}`)
      continue
    }
    objects.push(compiled)
    const text = await compileCached(
      nvcc,
      ['-std=c++17', '-O3', '--fmad=false', '-ptx', '-arch=compute_90'],
      source,
      kind,
      '.ptx',
    )
    if (!text.ok) {
      problems.push(`gate: no PTX of ${source}\n${text.log}`)
      continue
    }
    const resources = parseResources(compiled.log)
    const audit = auditPtx(readFileSync(text.object, 'utf8'))
    kernels += resources.size
    table.push(...rowsOf(resources, audit))
    const path = join(expectedDir, `${op.file}.json`)
    if (options.update) writeFileSync(path, `${JSON.stringify(describe(resources, audit), null, 2)}\n`)
    const expected = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined
    if (release !== gatedRelease) continue
    problems.push(...compare(op.file, expected, resources, audit).map((text) => `gate: ${text}`))
  }
  printTable(table)
  const summary = `compiled ${kernels} kernels for ${archs.length} architecture${archs.length === 1 ? '' : 's'}`
  if (options.op.length > 0) return { compiled: summary, suite: 'not run (one op alone is not linked)' }
  problems.push(...unexpectedFiles().map((file) => `gate: native/gpu/expected/${file} is of no op`))

  for (const source of ['cuda/machine.cu', 'api.cpp', 'failure.cpp']) {
    const compiled = await compileCached(nvcc, [...flags, ...code, ...ptx], source, kind)
    if (!compiled.ok) problems.push(`gate: ${source} did not compile\n${compiled.log}`)
    objects.push(compiled)
  }
  if (objects.some((object) => !object.ok) || objects.length < ops.length + 3)
    return { compiled: summary, suite: 'not run (did not compile)' }
  const library = join(buildDir, kind, 'libkvasir_cuda.so')
  const linked = await linkCached(
    nvcc,
    ['-shared', '-cudart', 'static', ...archs.slice(0, 1).map((arch) => `-arch=sm_${arch}`)],
    objects,
    ['-Xlinker', `--version-script=${join(gpuDir, 'exports.map')}`],
    library,
  )
  if (!linked.ok) {
    problems.push(`gate: libkvasir_cuda.so did not link\n${linked.log}`)
    return { compiled: summary, suite: 'not run (did not link)' }
  }
  const symbols = await exportedSymbols(library)
  if (symbols && symbols.join() !== 'kvasir_gpu_v1')
    problems.push(`gate: libkvasir_cuda.so exports ${symbols.join(', ')}`)
  const plain = await buildEmulated({ plain: true })
  if (!plain.ok) {
    problems.push(`the suite did not compile\n${plain.log}`)
    return { compiled: summary, suite: 'not run (the suite did not compile)' }
  }
  return { compiled: summary, suite: await runSuite(plain.suite, library) }
}

async function releaseOf(compiler) {
  const { log } = await runProgram(compiler, ['--version'])
  return /release (\d+\.\d+)/.exec(log)?.[1] ?? 'unknown'
}

/** What others could link against: one function, so that the runtime inside meets no other copy of itself. */
async function exportedSymbols(library) {
  const nm = findProgram('nm')
  if (!nm) return undefined
  const { log } = await runProgram(nm, ['-D', '--defined-only', library])
  return log
    .trim()
    .split('\n')
    .map((line) => line.split(' ').at(-1))
}

function unexpectedFiles() {
  const known = new Set(listOps().map((op) => `${op.file}.json`))
  return readdirSync(expectedDir).filter((file) => file.endsWith('.json') && !known.has(file))
}

function rowsOf(resources, audit) {
  return [...resources].map(([name, byArch]) => {
    const all = [...byArch.values()]
    const worst = all.reduce((a, b) => (b.registers > a.registers ? b : a))
    const { blocks, warps } = occupancyOf(worst)
    const sum = (what) => all.reduce((total, used) => total + used[what], 0)
    const ptx = audit.get(name) ?? {}
    return {
      kernel: name,
      threads: worst.threads,
      registers: worst.registers,
      shared: worst.shared + worst.staticShared,
      spills: sum('spills'),
      stack: sum('stack'),
      'blocks/SM': blocks,
      warps: `${Math.round((100 * warps) / 64)}%`,
      'v.loads': ptx.vectorLoads ?? 0,
      's.loads': ptx.scalarLoads ?? 0,
      'in loops': ptx.scalarLoadsInLoops ?? 0,
      'cp.async': ptx.asyncCopies ?? 0,
      mma: ptx.mma ?? 0,
    }
  })
}

function printTable(rows) {
  if (rows.length === 0) return
  const columns = Object.keys(rows[0])
  const widths = columns.map((column) => Math.max(column.length, ...rows.map((row) => String(row[column]).length)))
  const line = (cells) =>
    cells.map((cell, i) => (i === 0 ? String(cell).padEnd(widths[i]) : String(cell).padStart(widths[i]))).join('  ')
  console.log(line(columns))
  for (const row of rows) console.log(line(columns.map((column) => row[column])))
}
