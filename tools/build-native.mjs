// Builds native/build/Release/kvasir.node: with CMake (through cmake-js) where there is one, else with the C++ compiler alone.
// Both read native/build.json. Exit codes: 0 built, 1 did not compile, 3 a tool is missing (one line says which).
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { findProgram } from './find-program.mjs'

const nativeDir = fileURLToPath(new URL('../native/', import.meta.url))
const requireFromNative = createRequire(join(nativeDir, 'package.json'))

export const addonPath = join(nativeDir, 'build', 'Release', 'kvasir.node')

/**
 * Names what is missing to build the addon.
 * @returns {string | null} one line with the remedy, or null if it can be built
 */
export function missingTool() {
  if (findCompiler()) return null
  return 'no C++ compiler found, the native core is not built and plain TypeScript is slow. Remedy: apt-get install g++ make cmake'
}

/**
 * Builds the addon.
 * @returns {Promise<{ ok: boolean, log: string }>} what the build printed
 */
export async function buildNative() {
  return hasCmake() ? buildWithCmake('kvasir') : buildWithCompiler(findCompiler())
}

/** @returns {string[]} the names of the C++ test programs; none where they cannot be built */
export function listNativeTests() {
  if (!hasCmake() || !findCompiler()) return []
  return readdirSync(join(nativeDir, 'test')).flatMap((file) => /^(\w+_test)\.cpp$/.exec(file)?.[1] ?? [])
}

/**
 * Builds one C++ test program and runs it.
 * @param {string} name as listNativeTests gives it
 * @returns {Promise<{ ok: boolean, log: string }>} what the build or the program printed
 */
export async function runNativeTest(name) {
  const build = await buildWithCmake(name)
  return build.ok ? runProgram(join(nativeDir, 'build', 'tests', name), []) : build
}

/**
 * Builds one C++ benchmark, test/NAME_bench.cpp, through CMake.
 * @param {string} name such as linear
 * @returns {Promise<{ ok: boolean, log: string, program: string }>} what the build printed, and the program
 */
export async function buildNativeBench(name) {
  const build = await buildWithCmake(`${name}_bench`)
  return { ...build, program: join(nativeDir, 'build', 'tests', `${name}_bench`) }
}

function hasCmake() {
  return Boolean(findProgram('cmake') && (findProgram('ninja') ?? findProgram('make')))
}

function findCompiler() {
  return [process.env.CXX, 'g++', 'clang++', 'c++'].filter(Boolean).map(findProgram).find(Boolean)
}

/** Gives cmake-js, which configures first where that is due, one target to build. */
function buildWithCmake(target) {
  const cmakeJs = join(dirname(requireFromNative.resolve('cmake-js/package.json')), 'bin', 'cmake-js')
  const options = ['--config', 'Release', '--log-level', 'warn', '--parallel', String(availableParallelism())]
  return runProgram(process.execPath, [cmakeJs, 'build', ...options, '--target', target])
}

async function buildWithCompiler(compiler) {
  const units = listUnits()
  const objectDir = join(nativeDir, 'build', 'direct')
  mkdirSync(objectDir, { recursive: true })
  mkdirSync(dirname(addonPath), { recursive: true })

  const headersHash = hashOf(headerFiles().map((file) => readFileSync(file)))
  const objects = []
  const jobs = units.map((unit) => async () => {
    const args = [...unit.args, '-c', unit.source]
    const key = hashOf([compiler, ...args, readFileSync(unit.source), headersHash])
    const object = join(objectDir, `${unit.name}-${key}.o`)
    objects.push(object)
    return existsSync(object) ? { ok: true, log: '' } : compileAside(compiler, args, object)
  })
  const results = await runPooled(jobs, availableParallelism())
  const log = results.map((result) => result.log).join('')
  if (results.some((result) => !result.ok)) return { ok: false, log }

  const linkFlags = process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : ['-Wl,--gc-sections']
  const link = await compileAside(compiler, ['-shared', '-pthread', ...objects.sort(), ...linkFlags], addonPath)
  return { ok: link.ok, log: log + link.log }
}

/** Compiles to a neighbour and renames it, so that a half-written file is never taken for a whole one. */
async function compileAside(compiler, args, output) {
  const result = await runProgram(compiler, [...args, '-o', `${output}.part`])
  if (result.ok) renameSync(`${output}.part`, output)
  return result
}

/** The same files with the same flags as in native/CMakeLists.txt. */
function listUnits() {
  const spec = JSON.parse(readFileSync(join(nativeDir, 'build.json'), 'utf8'))
  const common = [
    '-std=c++17',
    '-fPIC',
    '-pthread',
    '-DNDEBUG',
    ...spec.flags,
    `-I${join(nativeDir, spec.includeFolder)}`,
  ]
  const nodeHeaders = [
    requireFromNative('node-api-headers').include_dir,
    dirname(requireFromNative.resolve('node-addon-api/package.json')),
  ]
  const glue = [...nodeHeaders.map((folder) => `-I${folder}`), ...spec.addonDefines.map((name) => `-D${name}`)]
  const levelOf = (source) => spec.levels.find(({ name }) => new RegExp(`[/_]${name}\\.cpp$`).test(source))
  const unit = (source, flags) => ({
    name: source.replaceAll('/', '-'),
    source: join(nativeDir, source),
    args: [...common, ...flags],
  })
  return [
    ...spec.coreFolders
      .flatMap((folder) => listSources(folder))
      .filter((source) => (levelOf(source)?.cpu ?? process.arch) === process.arch)
      .map((source) => unit(source, levelOf(source)?.flags ?? [])),
    ...listSources(spec.addonFolder).map((source) => unit(source, glue)),
  ]
}

function listSources(folder) {
  return readdirSync(join(nativeDir, folder), { recursive: true })
    .filter((file) => file.endsWith('.cpp'))
    .sort()
    .map((file) => `${folder}/${file}`)
}

function headerFiles() {
  return readdirSync(nativeDir, { recursive: true })
    .filter((file) => /\.(h|hpp|inl)$/.test(file) && !/^(build|gpu|node_modules)[/\\]/.test(file))
    .sort()
    .map((file) => join(nativeDir, file))
}

function hashOf(parts) {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex').slice(0, 16)
}

async function runPooled(jobs, width) {
  const results = []
  const queue = jobs.values()
  const lanes = Array.from({ length: width }, async () => {
    for (const job of queue) results.push(await job())
  })
  await Promise.all(lanes)
  return results
}

function runProgram(command, args) {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: nativeDir, stdio: ['ignore', 'pipe', 'pipe'] })
    let log = ''
    const collect = (chunk) => {
      log += chunk
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    child.on('error', (error) => done({ ok: false, log: `${log}${error.message}\n` }))
    child.on('close', (code) => done({ ok: code === 0, log }))
  })
}

if (process.argv[1] && import.meta.url === pathToFileURL(resolve(process.argv[1])).href) {
  const missing = missingTool()
  if (missing) {
    console.error(`kvasir: ${missing}`)
    process.exitCode = 3
  } else {
    const { ok, log } = await buildNative()
    process.stderr.write(log)
    process.exitCode = ok ? 0 : 1
  }
}
