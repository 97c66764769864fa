// Compiles native/gpu: the emulated library and its test programs with the C++ compiler, objects for devices with nvcc.
// Objects are kept by a hash of their sources, so that a change costs the files that see it.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findProgram } from './find-program.mjs'

export const gpuDir = fileURLToPath(new URL('../native/gpu/', import.meta.url))
const buildDir = fileURLToPath(new URL('../native/build/gpu/', import.meta.url))
const includeDir = fileURLToPath(new URL('../native/include/', import.meta.url))
/** What the suite packs weights with, and reads them by. */
const weightSources = ['weights/pack.cpp', '../cpu/linear/gguf_blocks.cpp', '../cpu/linear/pack.cpp']

const commonFlags = [
  '-std=c++17',
  '-Wall',
  '-Wextra',
  '-fPIC',
  '-fvisibility=hidden',
  '-ffp-contract=off',
  `-I${includeDir}`,
]
/** Flags of a build beside its optimisation, by the folder that it goes to. */
const sanitizers = {
  plain: [],
  sanitized: ['-fsanitize=address,undefined', '-fno-sanitize-recover=undefined', '-fno-omit-frame-pointer'],
  races: ['-fsanitize=thread', '-fno-omit-frame-pointer'],
}

/** @returns {string | undefined} the C++ compiler's path */
export function findCompiler() {
  return [process.env.CXX, 'g++', 'clang++', 'c++'].filter(Boolean).map(findProgram).find(Boolean)
}

/** @returns {{ name: string, file: string }[]} every op: its name in the table, and that of its files */
export function listOps() {
  const list = readFileSync(join(gpuDir, 'ops.inc'), 'utf8')
  return [...list.matchAll(/^KVASIR_GPU_OP\((\w+), \w+\)$/gm)].map(([, name]) => ({
    name,
    file: name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
  }))
}

/**
 * Builds the emulated library, the suite and the test of the context.
 * @param {{ plain?: boolean, libraryOnly?: boolean, races?: boolean }} options plain: optimised and without sanitizers;
 *   races: with the thread sanitizer, and blocks that run at once
 * @returns {Promise<{ ok: boolean, log: string, sanitized: boolean, library: string, suite: string, contextTest: string }>}
 */
export async function buildEmulated({ plain = false, libraryOnly = false, races = false } = {}) {
  const wanted = races ? 'races' : 'sanitized'
  const sanitized = !plain && (await hasSanitizers(findCompiler(), wanted))
  const kind = sanitized ? wanted : 'plain'
  const files = {
    library: ['api.cpp', 'failure.cpp', ...sourcesOf('emulated', '.cpp'), ...sourcesOf('ops', '.cu')],
    suite: [...sourcesOf('test', '.cpp'), ...weightSources],
    contextTest: sourcesOf('test/context', '.cpp'),
  }
  const outputs = {
    sanitized,
    library: join(buildDir, kind, 'libkvasir_emulated.so'),
    suite: join(buildDir, kind, 'kvasir_gpu_suite'),
    contextTest: join(buildDir, kind, 'context_test'),
  }
  return buildPrograms(libraryOnly ? { library: files.library } : files, outputs, kind)
}

/**
 * Builds the benchmark, which opens a library by its path.
 * @param {{ plain?: boolean }} options as those of buildEmulated
 * @returns {Promise<{ ok: boolean, log: string, bench: string }>}
 */
export async function buildBench({ plain = false } = {}) {
  const kind = !plain && (await hasSanitizers(findCompiler(), 'sanitized')) ? 'sanitized' : 'plain'
  const bench = join(buildDir, kind, 'kvasir_gpu_bench')
  return buildPrograms({ bench: sourcesOf('bench', '.cpp') }, { bench }, kind)
}

/** Compiles and links what `files` names to `outputs`; `library` is a shared one. */
async function buildPrograms(files, outputs, kind) {
  const compiler = findCompiler()
  const linkFlags = sanitizers[kind]
  const flags = [...commonFlags, ...(kind === 'plain' ? ['-O2'] : ['-O1', '-g1', ...sanitizers[kind]])]
  const compile = (file) => {
    const language = file.endsWith('.cu') ? ['-x', 'c++'] : []
    return compileCached(compiler, [...language, ...flags], file, kind)
  }
  let log = ''
  for (const [name, sources] of Object.entries(files)) {
    const objects = await inLanes(sources, compile)
    log += objects.map((object) => object.log).join('')
    if (objects.some((object) => !object.ok)) return { ok: false, log, ...outputs }
    const shape = name === 'library' ? ['-shared'] : []
    const linked = await linkCached(compiler, [...shape, '-pthread', ...linkFlags], objects, ['-ldl'], outputs[name])
    log += linked.log
    if (!linked.ok) return { ok: false, log, ...outputs }
  }
  return { ok: true, log, ...outputs }
}

/**
 * Compiles one file of native/gpu unless an object of the same sources and flags is there.
 * @param {string} compiler
 * @param {string[]} flags
 * @param {string} file relative to native/gpu
 * @param {string} kind the folder it goes to
 * @param {string} suffix of what is made
 * @returns {Promise<{ ok: boolean, log: string, object: string }>} log: what the compiler printed, then or earlier
 */
export async function compileCached(compiler, flags, file, kind, suffix = '.o') {
  const key = hashOf([
    compiler,
    ...flags,
    ...closureOf(join(gpuDir, file), otherSide(compiler)).flatMap((path) => [path, readFileSync(path)]),
  ])
  const object = join(buildDir, kind, `${file.replaceAll('/', '-')}-${key}${suffix}`)
  if (existsSync(object)) return { ok: true, log: readFileSync(`${object}.log`, 'utf8'), object }
  mkdirSync(dirname(object), { recursive: true })
  const mode = suffix === '.o' ? ['-c'] : []
  const part = `${object}.${process.pid}.part`
  const result = await runProgram(compiler, [...flags, ...mode, join(gpuDir, file), '-o', part])
  if (!result.ok) return { ...result, object }
  writeFileSync(`${object}.log`, result.log)
  renameSync(part, object)
  return { ...result, object }
}

/** Links unless the output was made of the same objects. */
export async function linkCached(compiler, flags, objects, libraries, output) {
  const inputs = objects.map(({ object }) => object)
  const stamp = `${output}.key`
  const key = hashOf([compiler, ...flags, ...inputs, ...libraries])
  if (existsSync(output) && existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return { ok: true, log: '' }
  const part = `${output}.${process.pid}.part`
  const result = await runProgram(compiler, [...flags, ...inputs, ...libraries, '-o', part])
  if (result.ok) {
    renameSync(part, output)
    writeFileSync(stamp, key)
  }
  return result
}

/** The files of a folder of native/gpu, relative to it. */
function sourcesOf(folder, suffix) {
  return readdirSync(join(gpuDir, folder))
    .filter((file) => file.endsWith(suffix))
    .sort()
    .map((file) => `${folder}/${file}`)
}

/**
 * @param {string} command
 * @param {string[]} args
 * @param {(text: string) => void} [hear] is told what it prints as it does
 * @returns {Promise<{ ok: boolean, code: number | null, log: string }>}
 */
export function runProgram(command, args, hear) {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: gpuDir, stdio: ['ignore', 'pipe', 'pipe'] })
    let log = ''
    const collect = (chunk) => {
      log += chunk
      hear?.(String(chunk))
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    child.on('error', (error) => done({ ok: false, code: null, log: `${log}${error.message}\n` }))
    child.on('close', (code) => done({ ok: code === 0, code, log }))
  })
}

/** Headers that a compiler does not come to: those of the emulation, or those of CUDA. */
function otherSide(compiler) {
  return /nvcc[^/]*$/.test(compiler) ? /\/emulated[^/]*(\/[^/]*)?$/ : /\.cuh$/
}

/** A file and all that it includes with quotes but for `others`, by their real paths. */
function closureOf(file, others, seen = new Set()) {
  if (seen.has(file) || others.test(file) || !existsSync(file)) return [...seen]
  seen.add(file)
  for (const [, included] of readFileSync(file, 'utf8').matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)) {
    closureOf(resolve(dirname(file), included), others, seen)
    closureOf(resolve(includeDir, included), others, seen)
  }
  return [...seen].sort((a, b) => relative(gpuDir, a).localeCompare(relative(gpuDir, b)))
}

/** Two at a time: compilers of a larger machine are left to others. */
async function inLanes(items, action) {
  const results = []
  const queue = items.entries()
  const lane = async () => {
    for (const [i, item] of queue) results[i] = await action(item)
  }
  await Promise.all([lane(), lane()])
  return results
}

/** Some systems have the compiler without the libraries of its sanitizers. */
async function hasSanitizers(compiler, kind) {
  mkdirSync(buildDir, { recursive: true })
  const source = join(buildDir, 'sanitizers.cpp')
  const program = join(buildDir, `${kind}-${hashOf([compiler])}`)
  if (existsSync(program)) return true
  writeFileSync(source, 'int main() { return 0; }\n')
  return (await runProgram(compiler, [...sanitizers[kind], source, '-o', program])).ok
}

function hashOf(parts) {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex').slice(0, 16)
}
