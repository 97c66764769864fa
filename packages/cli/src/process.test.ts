// The command as a process of its own: signals, stdin, and what only shows there.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { readLongDocument } from './long-document.ts'

const bin = join(import.meta.dirname, 'bin.ts')

function start(args: readonly string[]) {
  const child = spawn(process.execPath, ['--conditions=@kvasir/source', '--import', 'tsx', bin, ...args])
  const output = { out: '', err: '' }
  child.stdout.on('data', (chunk) => (output.out += chunk))
  child.stderr.on('data', (chunk) => (output.err += chunk))
  const ended = new Promise<number | string>((done) => child.on('close', (code, signal) => done(signal ?? code ?? 0)))
  return { child, output, ended }
}

/** Processes that this one started; none where the system does not tell. */
function childrenOf(pid: number): number[] {
  const path = `/proc/${pid}/task/${pid}/children`
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split(' ').filter(Boolean).map(Number) : []
}

function isRunning(pid: number): boolean {
  const path = `/proc/${pid}/stat`
  return existsSync(path) && !/\) Z /.test(readFileSync(path, 'utf8'))
}

test('chat answers lines from stdin, resets, and ends with /exit', { timeout: 60_000 }, async () => {
  const { child, output, ended } = start(['chat', '--max-tokens', '6', '--tier', 'host'])
  child.stdin.end('Hi\n\n/nothing\n/reset\nHi\n/exit\nNot read\n')
  expect(await ended).toBe(0)
  const [first, second, ...rest] = output.out.split('\n')
  expect(first).not.toBe('')
  expect([second, rest]).toEqual([first, ['']])
  expect(output.err).toBe('kvasir: unknown command /nothing: expected /reset or /exit\n')
})

test('Ctrl-C ends a run within a second and leaves only whole lines', { timeout: 120_000 }, async () => {
  const root = mkdtempSync(join(tmpdir(), 'kvasir-interrupt-'))
  mkdirSync(join(root, 'books'))
  const { text } = readLongDocument()
  writeFileSync(join(root, 'books/own.txt'), text)
  const windows = [4000, 6000, 8000].map((anchor) => ({ id: `own-${anchor}`, book: 'books/own.txt', anchor }))
  writeFileSync(join(root, 'books/windows.jsonl'), windows.map((window) => `${JSON.stringify(window)}\n`).join(''))
  const results = join(root, 'out/results.jsonl')
  const args = [
    'eval',
    'windows',
    '--data',
    root,
    '--length',
    '64',
    '--policy',
    'window:budget=32',
    '--workers',
    '2',
    '--out',
    join(root, 'out'),
  ]
  const { child, ended } = start(args)
  while (!existsSync(results)) await Promise.race([sleep(50), ended.then(() => Promise.reject(new Error('too early')))])
  const workers = childrenOf(child.pid!)
  const startMs = performance.now()
  child.kill('SIGINT')
  expect(await ended).toBe('SIGINT')
  expect(performance.now() - startMs).toBeLessThan(1000)
  while (workers.some(isRunning) && performance.now() - startMs < 5000) await sleep(20)
  expect(workers.filter(isRunning)).toEqual([])
  const before = readFileSync(results, 'utf8')
  for (const line of before.trimEnd().split('\n')) expect(JSON.parse(line).id).toMatch(/^own-[468]000$/)

  const again = start([...args, '--json'])
  expect([await again.ended, again.output.err]).toEqual([0, ''])
  expect(readFileSync(results, 'utf8').startsWith(before)).toBe(true)
  expect(JSON.parse(again.output.out).rows).toMatchObject([{ policy: 'window:budget=32', n: 3 }])
  const tables = readFileSync(join(root, 'out/tables.md'), 'utf8')
  expect(tables).toContain(`kvasir ${[...args, '--json'].join(' ')}`)
  expect(tables).toMatch(/\| window:budget=32 \| 64 \| 32 \| 3 \|/)
})

test('a reader that has enough ends the command without a word', { timeout: 60_000 }, async () => {
  const { child, output, ended } = start(['generate', '--prompt', 'The sea was', '--max-tokens', '200'])
  child.stdout.once('data', () => child.stdout.destroy())
  expect([await ended, output.err]).toEqual([0, ''])
})

test.each(['generate', 'eval'])('Ctrl-C during %s leaves no file of a tier', { timeout: 120_000 }, async (name) => {
  const root = mkdtempSync(join(tmpdir(), 'kvasir-tier-'))
  mkdirSync(join(root, 'books'))
  mkdirSync(join(root, 'rows'))
  const { text } = readLongDocument()
  writeFileSync(join(root, 'books/own.txt'), text)
  writeFileSync(join(root, 'books/windows.jsonl'), JSON.stringify({ id: 'own', book: 'books/own.txt', anchor: 8000 }))
  const args = {
    generate: ['--prompt-file', join(root, 'books/own.txt'), '--policy', 'sentence-kv:budget=64'],
    eval: ['windows', '--data', root, '--policy', 'window', '--budget', '64', '--length', '1024', '--workers', '1'],
  }[name] as string[]
  const rows = join(root, 'rows')
  const { child, ended } = start([name, ...args, '--tier', 'file', '--tier-dir', rows])
  const files = () => (readdirSync(rows, { recursive: true }) as string[]).filter((path) => /kv-\d+$/.test(path))
  while (files().length === 0) await Promise.race([sleep(50), ended.then(() => Promise.reject(new Error('too early')))])
  const startMs = performance.now()
  child.kill('SIGINT')
  expect(await ended).toBe('SIGINT')
  expect(performance.now() - startMs).toBeLessThan(1000)
  expect(readdirSync(rows)).toEqual([])
})

test('bench prints one JSON object with the peer in turns and the roofs', { timeout: 120_000 }, async () => {
  const args = 'bench prefill --length 48 --pairs 2 --threads 1 --against llama.cpp --json'
  const { output, ended } = start(args.split(' '))
  expect([await ended, output.err]).toEqual([0, expect.stringContaining('kvasir: roofs')])
  const { machine, threads, rows } = JSON.parse(output.out)
  expect(machine.node).toBe(process.versions.node)
  expect(threads).toBe(1)
  expect(rows.map(({ name }: { name: string }) => name)).toEqual([
    'roof memory read',
    'roof memory copy',
    'prefill',
    'peak memory',
  ])
  const prefill = rows[2]
  expect(prefill).toMatchObject({ shape: 'length=48', unit: 'tokens/s', against: 'llama.cpp', pairs: 2 })
  expect(prefill.ratio).toBeGreaterThan(0)
  expect(prefill.ratioQuartiles[0]).toBeLessThanOrEqual(prefill.ratio)
  expect(rows[3].ours).toBeGreaterThan(98)
})
