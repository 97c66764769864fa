import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseRows } from '../tools/gpu/report.mjs'
import { buildBench, buildEmulated, findCompiler, runProgram } from '../tools/gpu-build.mjs'

test('GPU kernels pass their suite in emulation', { timeout: 600_000 }, async (context) => {
  if (!findCompiler()) context.skip('no C++ compiler')
  const build = await buildEmulated()
  expect(build.ok, build.log).toBe(true)
  const faults = await runProgram(build.contextTest, [])
  expect(faults.ok, faults.log).toBe(true)
  const suite = await runProgram(build.suite, [build.library, '--quick'])
  expect(suite.ok, suite.log).toBe(true)
  expect(suite.log).toMatch(/\n[1-9]\d* passed, 0 failed\n$/)
})

describe.skipIf(!findCompiler())('the benchmark on the emulated device', () => {
  let folder = ''
  let library = ''
  let bench = ''

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kvasir-gpu-bench-'))
    const programs = [await buildEmulated(), await buildBench()] as const
    for (const { ok, log } of programs) expect(ok, log).toBe(true)
    library = programs[0].library
    bench = programs[1].bench
  }, 600_000)
  afterAll(() => rmSync(folder, { recursive: true }))

  async function run(step: string) {
    const rows = join(folder, `${step}.jsonl`)
    const result = await runProgram(bench, [library, step, '--tiny', '--rows', rows])
    return { ...result, rows: result.code === 2 ? [] : parseRows(readFileSync(rows, 'utf8')) }
  }

  test('every step runs, and what it times is right', { timeout: 300_000 }, async () => {
    const listed = (await runProgram(bench, ['--list'])).log.trim().split('\n')
    expect(listed.length).toBeGreaterThan(1)
    for (const step of ['facts', 'ceilings', ...listed.map((line: string) => line.split(':')[0]!)]) {
      const { code, log, rows } = await run(step)
      expect(code, log).toBe(0)
      expect(rows.length, step).toBeGreaterThan(0)
      expect(rows.filter((row: Record<string, unknown>) => row.step !== step || row.kind === 'wrong')).toEqual([])
    }
  })

  test('numbers of the emulation are held against no target', async () => {
    const { rows } = await run('turns')
    expect(rows.some((row: Record<string, unknown>) => row.kind === 'timing')).toBe(true)
    expect(rows.filter((row: Record<string, unknown>) => 'verdict' in row)).toEqual([])
  })

  test('a step that does not exist is refused, with the names of those that do', async () => {
    const { code, log } = await run('nothing')
    expect(code).toBe(2)
    expect(log).toContain('there is no step nothing')
    expect(log).toContain('ceilings')
  })

  test('a library that does not load is a failure, not a machine without a device', async () => {
    const { code, log } = await runProgram(bench, ['/nowhere.so', 'facts', '--rows', join(folder, 'none.jsonl')])
    expect(code).toBe(1)
    expect(log).toMatch(/^failed: .*nowhere/)
  })
})
