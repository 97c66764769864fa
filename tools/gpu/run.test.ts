import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findProgram } from '../find-program.mjs'
import { parseRows } from './report.mjs'

// Stands in for the benchmark: steps that end well, are wrong, hang and crash.
const bench = `#!/usr/bin/env bash
[ "$1" = --list ] && { printf 'good:1\\nhangs:1\\ncrashes:1\\nlast:1\\n'; exit 0; }
step=$2 rows=$4
row() { echo "{\\"step\\":\\"$step\\",\\"kind\\":$1}" >>"$rows"; }
case $step in
  facts) row '"fact","name":"device","value":"Made-up GPU"'; row '"fact","name":"library","value":"cuda"' ;;
  hangs) row '"value","family":"hangs","shape":"before it hung","value":1,"unit":"GB/s"'; sleep 20 ;;
  crashes) row '"value","family":"crashes","shape":"before it crashed","value":2,"unit":"GB/s"'; kill -SEGV $$ ;;
  *) row '"value","family":"'$step'","shape":"whole","value":3,"unit":"GB/s"'; echo done ;;
esac
`
const suite = `#!/usr/bin/env bash
[ "$1" = --list ] && { echo "$OPS" | tr ' ' '\\n'; exit 0; }
case $3 in
  hangs) sleep 20 ;;
  dies) kill -ABRT $$ ;;
  fails) echo 'a case is wrong'; echo '4 passed, 1 failed'; exit 1 ;;
  *) echo '5 passed, 0 failed' ;;
esac
`
const isHere = ['bash', 'timeout', 'xargs', 'awk'].every((name) => findProgram(name))

describe.skipIf(!isHere)('the GPU check with programs that misbehave', () => {
  let folder = ''
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'kvasir-gpu-check-'))
    const here = fileURLToPath(new URL('.', import.meta.url))
    for (const name of readdirSync(here)) if (/\.(sh|mjs|py)$/.test(name)) cpSync(join(here, name), join(folder, name))
    write('kvasir_gpu_bench', bench)
    write('kvasir_gpu_suite', suite)
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  function write(name: string, text: string) {
    writeFileSync(join(folder, name), text)
    chmodSync(join(folder, name), 0o755)
  }

  const environment = (more: Record<string, string>) => ({
    ...process.env,
    KVASIR_GPU_GRACE_SECONDS: '3',
    OPS: 'one two',
    ...more,
  })
  const command = (out: string, only: string) => [
    join(folder, 'run.sh'),
    ...['--library', 'none.so', '--only', only, '--out', join(folder, out)],
  ]

  function check(out: string, only: string, more: Record<string, string> = {}) {
    const { status, stdout } = spawnSync('bash', command(out, only), { encoding: 'utf8', env: environment(more) })
    const rows = existsSync(join(folder, out)) ? parseRows(readFileSync(join(folder, out, 'rows.jsonl'), 'utf8')) : []
    const codes = Object.fromEntries(rows.filter((row) => row.kind === 'step').map((row) => [row.step, row.code]))
    return { status, stdout, rows, codes }
  }

  const reportOf = (out: string) => {
    const name = readdirSync(join(folder, out)).find((file) => file.endsWith('.json'))!
    return JSON.parse(readFileSync(join(folder, out, name), 'utf8'))
  }

  test('a step that takes too long and one that crashes are named, and leave the others', {
    timeout: 60_000,
  }, () => {
    const { status, rows, codes, stdout } = check('misbehaving', 'bench')
    expect(status).toBe(1)
    expect(stdout).toContain('as the time did not suffice: 1')
    expect(codes).toEqual({ facts: 0, ceilings: 0, good: 0, hangs: 124, crashes: 139, last: 0 })
    expect(rows.find((row) => row.step === 'hangs' && row.kind === 'step')?.last).toMatch(/^stopped after \d+ s$/)
    const report = reportOf('misbehaving')
    expect(report.values.map((row: { shape: string }) => row.shape)).toContain('before it hung')
    expect(report.values.map((row: { shape: string }) => row.shape)).toContain('before it crashed')
    expect(report.steps).toHaveLength(6)
  })

  test('an op that hangs, dies or fails is named, and the others count', { timeout: 60_000 }, () => {
    const run = spawnSync('bash', [join(folder, 'suite.sh'), join(folder, 'kvasir_gpu_suite'), 'none.so', '30'], {
      encoding: 'utf8',
      env: environment({ OPS: 'one hangs dies fails two', KVASIR_GPU_OP_SECONDS: '2' }),
    })
    expect(run.status).toBe(1)
    expect(run.stdout).toContain('a case is wrong')
    expect(run.stdout.trim().split('\n').at(-1)).toBe('14 passed, 1 failed; 3 ops broke off or failed')
  })

  test('ops that the time does not suffice for are named, and nothing is wrong', { timeout: 60_000 }, () => {
    const run = spawnSync('bash', [join(folder, 'suite.sh'), join(folder, 'kvasir_gpu_suite'), 'none.so', '4'], {
      encoding: 'utf8',
      env: environment({ OPS: 'one hangs' }),
    })
    expect(run.stdout).toMatch(/stopped: hangs/)
    expect(run.stdout.trim().split('\n').at(-1)).toBe('5 passed, 0 failed; no time for 1 ops')
    expect(run.status).toBe(0)
  })

  test('slowness alone is not wrong', { timeout: 60_000 }, () => {
    write('kvasir_gpu_bench', bench.replace('kill -SEGV $$', 'echo done'))
    const { status, codes } = check('slow', 'bench')
    write('kvasir_gpu_bench', bench)
    expect(codes.hangs).toBe(124)
    expect(status).toBe(0)
  })

  test('a tool that is missing is a step that did not run', { timeout: 60_000 }, () => {
    const { status, codes, stdout } = check('suite', 'suite,engine')
    expect(codes).toMatchObject({ machine: 0, smoke: 0, suite: 0 })
    for (const tool of ['memcheck', 'racecheck']) if (!findProgram('compute-sanitizer')) expect(codes[tool]).toBe(3)
    expect(codes.engine).toBe(3)
    expect(stdout).toMatch(/not run/)
    expect(status).toBe(0)
  })

  test('a run that is killed in the middle leaves the report of what came before', { timeout: 60_000 }, async () => {
    const child = spawn('bash', command('killed', 'bench'), {
      env: environment({ KVASIR_GPU_GRACE_SECONDS: '20' }),
      detached: true,
    })
    const rows = join(folder, 'killed', 'rows.jsonl')
    const isHanging = () => existsSync(rows) && readFileSync(rows, 'utf8').includes('before it hung')
    while (!isHanging()) await new Promise((wake) => setTimeout(wake, 50))
    process.kill(-child.pid!, 'SIGKILL')
    const report = reportOf('killed')
    expect(report.device).toBe('Made-up GPU')
    expect(report.steps.map((step: { step: string }) => step.step)).toEqual(['facts', 'ceilings', 'good'])
    expect(report.values).toHaveLength(2)
  })

  test('the time of the whole run bounds each step, and what is left out says so', { timeout: 60_000 }, () => {
    const { rows } = check('short', 'bench', { KVASIR_GPU_CHECK_SECONDS: '5' })
    expect(rows.find((row) => row.step === 'last' && row.kind === 'step')?.last).toBe(
      'not run (the time of the whole run was used up)',
    )
  })

  test('a part that does not exist is refused', () => {
    const { status, stdout } = check('nothing', 'bench,benhc')
    expect(status).toBe(2)
    expect(stdout).toContain('there is no part benhc')
  })

  test('a report that is written of parts has both', () => {
    const path = (out: string) => join(folder, out, 'rows.jsonl')
    const paths = [path('suite'), path('misbehaving'), join(folder, 'both')]
    const run = spawnSync(process.execPath, [join(folder, 'report.mjs'), ...paths], { encoding: 'utf8' })
    expect(run.status, run.stderr).toBe(0)
    const steps = reportOf('both').steps.map((step: { step: string }) => step.step)
    expect(steps.filter((step: string) => step === 'facts')).toHaveLength(1)
    expect(steps).toEqual(expect.arrayContaining(['smoke', 'suite', 'hangs', 'last']))
  })
})
