// What nvcc made of the kernels: resources as ptxas prints them, instructions as they stand in PTX, and both against the
// files of native/gpu/expected.
import { spawnSync } from 'node:child_process'
import { findProgram } from './find-program.mjs'

/**
 * @typedef {{ registers: number, stack: number, spills: number, barriers: number, staticShared: number,
 *             threads: number, shared: number }} Resources
 */

/**
 * Reads what `-Xptxas -v` printed.
 * @param {string} log
 * @returns {Map<string, Map<string, Resources>>} by kernel, then by architecture
 */
export function parseResources(log) {
  const kernels = new Map()
  let now
  for (const line of log.split('\n')) {
    const entry = /Compiling entry function '(\w+)' for 'sm_(\w+)'/.exec(line)
    if (entry) {
      now = { symbol: entry[1], arch: entry[2], stack: 0, spills: 0 }
      continue
    }
    if (!now) continue
    const memory = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line)
    if (memory) {
      now.stack = Number(memory[1])
      now.spills = Number(memory[2]) + Number(memory[3])
    }
    const used = /Used (\d+) registers, used (\d+) barriers(?:.*?(\d+) bytes smem)?/.exec(line)
    if (!used) continue
    const byArch = kernels.get(now.symbol) ?? new Map()
    byArch.set(now.arch, {
      registers: Number(used[1]),
      barriers: Number(used[2]),
      staticShared: Number(used[3] ?? 0),
      stack: now.stack,
      spills: now.spills,
    })
    kernels.set(now.symbol, byArch)
    now = undefined
  }
  return renameKeys(kernels, (name, byArch) => {
    const launch = launchOf(name)
    return new Map([...byArch].map(([arch, used]) => [arch, { ...used, ...launch }]))
  })
}

/**
 * Counts in PTX what decides how fast a kernel is. `...InLoops` counts what stands between a label and a jump back to it.
 * @param {string} ptx
 * @returns {Map<string, Record<string, number>>} by kernel
 */
export function auditPtx(ptx) {
  const kernels = new Map()
  // Up to the next kernel: inline instructions have braces of their own.
  for (const part of ptx.split('.entry ').slice(1)) kernels.set(/^\w+/.exec(part)[0], countOf(part))
  return renameKeys(kernels, (_name, counts) => counts)
}

/**
 * Blocks that a multiprocessor of an H100 or H200 holds: 64 K registers, 227 KiB shared, 64 warps, 32 blocks.
 * @param {Resources} used
 */
export function occupancyOf(used) {
  const warps = used.threads / 32
  const registersPerWarp = Math.ceil((used.registers * 32) / 256) * 256
  const sharedPerBlock = used.shared + used.staticShared + 1024
  const blocks = Math.min(
    32,
    Math.floor(64 / warps),
    Math.floor(65536 / registersPerWarp / warps),
    Math.floor((228 * 1024) / sharedPerBlock),
  )
  return { blocks, warps: blocks * warps }
}

/**
 * What an expectation file holds of an op.
 * @param {Map<string, Map<string, Resources>>} resources
 * @param {Map<string, Record<string, number>>} ptx
 */
export function describe(resources, ptx) {
  const kernels = {}
  for (const name of [...resources.keys()].sort()) {
    const all = [...resources.get(name).values()]
    kernels[name] = {
      threads: all[0].threads,
      registers: Math.max(...all.map((used) => used.registers)),
      sharedBytes: Math.max(...all.map((used) => used.shared + used.staticShared)),
      ptx: ptx.get(name) ?? {},
    }
  }
  return { kernels }
}

/**
 * Holds what was measured against what is expected: registers, shared memory and slow instructions at most, fast ones at
 * least, spills and stack not at all.
 * @returns {string[]} what is wrong
 */
export function compare(file, expected, resources, ptx) {
  const wrong = []
  for (const name of Object.keys(expected?.kernels ?? {})) {
    if (!resources.has(name)) wrong.push(`${file}: ${name} is expected and not there`)
  }
  for (const [name, byArch] of resources) {
    const want = expected?.kernels[name]
    if (!want) {
      wrong.push(`${file}: ${name} is not in native/gpu/expected/${file}.json`)
      continue
    }
    for (const [arch, used] of byArch) {
      const at = `${file}: ${name} for sm_${arch}`
      if (used.spills > 0 || used.stack > 0) wrong.push(`${at} spills ${used.spills} bytes, stack ${used.stack}`)
      if (used.registers > want.registers)
        wrong.push(`${at} has ${used.registers} registers, at most ${want.registers}`)
      const shared = used.shared + used.staticShared
      if (shared > want.sharedBytes) wrong.push(`${at} has ${shared} bytes shared, at most ${want.sharedBytes}`)
    }
    const counts = ptx.get(name) ?? {}
    for (const [what, count] of Object.entries({ ...zeros(want.ptx), ...counts })) {
      const wanted = want.ptx[what] ?? 0
      const fewer = lessIsWorse.has(what)
      if (fewer ? count < wanted : count > wanted) {
        wrong.push(`${file}: ${name} has ${count} ${what} in PTX, at ${fewer ? 'least' : 'most'} ${wanted}`)
      }
    }
  }
  return wrong
}

const kinds = {
  vectorLoads: /^ld(\.\w+)*\.v[24]\./,
  scalarLoads: /^ld(\.volatile|\.relaxed|\.nc|\.global)*\.[a-z]\d+ /,
  vectorStores: /^st(\.\w+)*\.v[24]\./,
  scalarStores: /^st(\.global)?\.[a-z]\d+ /,
  asyncCopies: /^cp\.async\.(cg|ca|bulk)/,
  mma: /^mma\.sync/,
  ldmatrix: /^ldmatrix/,
  approximateExp2: /^ex2\.approx/,
  barriers: /^(bar|barrier)\./,
  atomics: /^(atom|red)\./,
  divisions: /^(div|rem)\.[su]\d+/,
}
const lessIsWorse = new Set(['vectorLoads', 'vectorStores', 'asyncCopies', 'mma', 'ldmatrix'])

function countOf(body) {
  const lines = body.split('\n').map((line) => line.trim().replace(/^@!?%p\d+ /, ''))
  const labels = new Map(lines.flatMap((line, at) => (/^\$\w+:/.test(line) ? [[line.slice(0, -1), at]] : [])))
  const loops = lines.flatMap((line, at) => {
    const target = labels.get(/^bra(?:\.uni)? \s*(\$\w+);/.exec(line)?.[1])
    return target !== undefined && target < at ? [[target, at]] : []
  })
  const counts = {}
  const add = (what) => {
    counts[what] = (counts[what] ?? 0) + 1
  }
  lines.forEach((line, at) => {
    for (const [what, pattern] of Object.entries(kinds)) {
      if (!pattern.test(line)) continue
      add(what)
      if (what === 'scalarLoads' && loops.some(([from, to]) => from < at && at < to)) add('scalarLoadsInLoops')
    }
  })
  return counts
}

function zeros(counts) {
  return Object.fromEntries(Object.keys(counts).map((what) => [what, 0]))
}

/** The name kernel<Body, threads, shared bytes> says how it is launched. */
function launchOf(name) {
  const [, threads, shared] = /, (\d+), (\d+)$/.exec(name) ?? []
  return { threads: Number(threads ?? 0), shared: Number(shared ?? 0) }
}

function renameKeys(map, convert) {
  const symbols = [...map.keys()]
  const program = findProgram('c++filt')
  const shown = program ? spawnSync(program, symbols, { encoding: 'utf8' }).stdout.trim().split('\n') : symbols
  const entries = symbols.map((symbol, i) => {
    const name = shortName(shown[i] ?? symbol)
    return [name.replace(/, \d+, \d+$/, ''), convert(name, map.get(symbol))]
  })
  return new Map(entries)
}

function shortName(text) {
  return text
    .replace(/^void kvasir::gpu::kernel<(.*)>\(.*$/, '$1')
    .replaceAll('kvasir::gpu::', '')
    .replace(/(\d)u\b/g, '$1')
}
