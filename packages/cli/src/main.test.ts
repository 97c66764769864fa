import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { main } from './main.ts'

const fixtures = join(import.meta.dirname, '../../llama/test-fixtures/gguf')
const toy = join(fixtures, 'llama-Q4_1.gguf')

let out = ''
let err = ''
beforeEach(() => {
  out = ''
  err = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += text
    return true
  })
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += text
    return true
  })
})
afterEach(() => vi.restoreAllMocks())

describe('what cannot be run is one line on stderr and exit code', () => {
  const broken = join(fixtures, 'broken/truncated-data.gguf')
  test.each([
    [2, 'fly', /unknown command 'fly': expected one of demo, generate, chat, eval, bench, inspect, cache/],
    [2, 'generate', /either --prompt or --prompt-file, got "neither"/],
    [2, 'generate --prompt a --prompt-file b', /got "both"/],
    [2, 'generate --prompt=', /at least one character/],
    [2, 'generate --prompt a --hot', /unknown option '--hot': expected options out of --model, .*--json/],
    [2, 'generate --prompt a --policy magic', /expected one of full, window, random, .*, got "magic"/],
    [2, 'generate --prompt a --policy window:size=4', /out of budget, sink, .*got "size=4"/],
    [2, 'generate --prompt a --policy window:sink=999', /budgetTokens/],
    [2, 'generate --prompt a --max-tokens 1.5', /--max-tokens: expected an integer/],
    [2, 'generate --prompt a --temperature warm', /--temperature: expected a number, got "warm"/],
    [2, 'generate --prompt a --tier attic', /--tier: expected one of host, file, got "attic"/],
    [2, 'generate --prompt a --tier file --tier-dir /nowhere', /--tier-dir: .*\/nowhere \(ENOENT\).*Make the folder/],
    [2, 'generate --prompt a --tier-dir /tmp', /--tier-dir: expected --tier file beside it/],
    [2, 'generate --prompt a --tier host --tier-dir /tmp', /--tier-dir: expected --tier file beside it/],
    [2, 'generate --prompt a --policy semshare-kv', /--policy: expected --donors beside it, got "semshare-kv"/],
    [2, 'chat --donors /tmp --policy window', /--donors: expected --policy semshare-kv beside it/],
    [2, 'generate --prompt a --scope team', /--scope: expected --donors beside it/],
    [2, 'generate --prompt a --key-file key', /--key-file: expected --donors beside it/],
    [2, 'generate --prompt a --policy semshare-kv --donors /tmp --scope a,b', /--scope: expected 1 to 128 characters/],
    [2, 'generate --prompt a --policy semshare-kv:fidelity=best --donors /tmp', /fidelity: expected one of strict/],
    [1, 'generate --prompt a --policy semshare-kv --donors /dev/null/x', /ENOTDIR/],
    [2, 'chat --hot-bytes 1000', /--hot-bytes: expected --tier beside it/],
    [2, 'eval windows --data . --policy full --tier host --hot-bytes 0', /--hot-bytes: expected an integer/],
    [1, 'generate --prompt a --tier host --hot-bytes 10', /hotBytes: expected at least \d+, a slot a layer/],
    [1, 'generate --prompt-file /nowhere/text', /ENOENT/],
    [1, 'generate --prompt a --model /nowhere/none.gguf', /\/nowhere\/none.gguf/],
    [1, `generate --prompt a --model ${broken}`, /The file is cut off/],
    [2, 'eval songs --data . --policy full', /suite: expected one of windows, niah, .*pairs, got "songs"/],
    [2, 'eval windows --policy full', /required option '--data <dir>' not specified/],
    [2, 'eval windows --data .', /required option '--policy <spec>' not specified/],
    [2, 'eval windows --data . --policy full --mode A', /no mode for windows/],
    [2, 'eval niah --data . --policy full --mode C', /--mode: expected one of A, B, P, got "C"/],
    [2, 'eval niah --data . --policy full --mode A --mode A', /each mode once/],
    [2, 'eval longbench --data . --policy full --length 64', /no length for longbench/],
    [2, 'eval niah --data . --policy full --workers two', /--workers: expected a number, got "two"/],
    [2, 'eval windows --data . --policy window --budget 64,64', /each number once/],
    [2, 'eval windows --data . --policy window --budget 64,x', /--budget: expected a number, got "x"/],
    [2, 'bench flight', /expected one of prefill, decode, .*, got "flight"/],
    [2, 'bench decode --against time', /llama.cpp/],
    [1, 'inspect /nowhere/none.gguf', /\/nowhere\/none.gguf/],
    [2, 'inspect', /missing required argument 'file'/],
    [2, 'cache fly', /unknown command 'fly': expected one of ls, verify, rm/],
    [2, 'cache ls', /missing required argument 'dir'/],
    [1, 'cache verify /nowhere', /ENOENT.*\/nowhere/],
    [1, 'cache ls /tmp --key-file /nowhere/key', /ENOENT.*\/nowhere\/key/],
    [2, `cache ls /tmp --key-file ${broken}`, /--key-file: expected a file of 32 bytes/],
  ])('%d: kvasir %s', async (code, line, message) => {
    expect(await main(line.split(' '))).toBe(code)
    expect(err).toMatch(message)
    expect(err).toMatch(/^kvasir: [^\n]+\n$/)
    expect(out).toBe('')
  })

  test.each([
    ['windows', 'books/windows.jsonl'],
    ['niah', 'niah/cases.jsonl'],
    ['turns', 'niah/cases.jsonl'],
    ['ruler', 'ruler'],
    ['longbench', 'longbench/mini.jsonl'],
  ])('evaluation data of %s that is not there is named', async (suite, path) => {
    const folder = mkdtempSync(join(tmpdir(), 'kvasir-data-'))
    expect(await main(['eval', suite, '--data', folder, '--policy', 'full'])).toBe(1)
    expect(err).toContain(`${join(folder, path)} is not there, skipped`)
  })

  test('a prompt longer than the context', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'kvasir-prompt-')), 'long.txt')
    writeFileSync(file, 'word '.repeat(9000))
    expect(await main(['generate', '--prompt-file', file])).toBe(1)
    expect(err).toMatch(/^kvasir: tokens: expected at most 8192 tokens in a sequence, got .* held and \d+ more.*\n$/)
  })
})

describe('inspect', () => {
  test('shows a header: version, metadata without the vocabulary, tensors', async () => {
    expect(await main(['inspect', toy])).toBe(0)
    expect(out).toMatch(/^GGUF version 3, /)
    expect(out).toContain('general.architecture = "llama"')
    expect(out).toMatch(/blk\.0\.attn_q\.weight +Q4_1 +\d+ x \d+/)
  })

  test('as JSON: one object and nothing else', async () => {
    expect(await main(['inspect', toy, '--json'])).toBe(0)
    const header = JSON.parse(out)
    expect(header).toMatchObject({ version: 3, metadata: { 'general.architecture': 'llama' } })
    expect(header.tensorBytes).toBeLessThan(header.fileBytes)
    expect(err).toBe('')
  })

  test.each(readdirSync(join(fixtures, 'broken')).filter((name) => name.endsWith('.gguf')))(
    'reads %s or says in one line why not',
    async (name) => {
      const code = await main(['inspect', join(fixtures, 'broken', name)])
      if (code === 0) expect(out).toMatch(/^GGUF version/)
      else expect(err).toMatch(/^kvasir: [^\n]+\n$/)
    },
  )
})

describe('generate', () => {
  test('streams the text; the same seed gives the same text', async () => {
    const args = ['generate', '--prompt', 'The sea was', '--max-tokens', '6', '--temperature', '0.9', '--seed', '7']
    expect(await main(args)).toBe(0)
    const text = out
    expect(text.trim()).not.toBe('')
    out = ''
    expect(await main(args)).toBe(0)
    expect(out).toBe(text)
    expect(err).toMatch(/3 tokens read in .* s, 6 new at .* ms each; .* of KV read a step/)
  })

  test('as JSON: one object and nothing else, under a policy', async () => {
    const args = [
      'generate',
      '--prompt',
      'Hi',
      '--chat',
      '--max-tokens',
      '40',
      '--policy',
      'window:budget=16',
      '--json',
    ]
    expect(await main(args)).toBe(0)
    const outcome = JSON.parse(out)
    expect(outcome).toMatchObject({ policy: 'window:budget=16', budget: 16, temperature: 0, promptTokens: 31 })
    expect(outcome.attendedTokensMean).toBe(16)
    expect(outcome.tokenIds).toHaveLength(outcome.newTokens)
    expect(err).toBe('')
  })
})

describe('a lower tier', () => {
  const args = ['generate', '--prompt', 'word '.repeat(300), '--max-tokens', '6', '--json']
  const policy = ['--policy', 'sentence-kv:budget=48']

  test('gives the same text, says what moved, and leaves no file', async () => {
    expect(await main([...args, ...policy, '--seed', '1'])).toBe(0)
    const { prefillMs: _, decodeMsPerToken: __, ...plain } = JSON.parse(out)
    expect(plain.movedBytesPerToken).toBeNull()
    for (const tier of ['host', 'file']) {
      out = ''
      const dir = mkdtempSync(join(tmpdir(), 'kvasir-tier-'))
      // By default the blocks of so short a prompt are all hot.
      const place = tier === 'file' ? ['--tier-dir', dir, '--hot-bytes', '3000000'] : []
      expect(await main([...args, ...policy, '--seed', '1', '--tier', tier, ...place])).toBe(0)
      const outcome = JSON.parse(out)
      expect(outcome).toMatchObject({ ...plain, tier, movedBytesPerToken: expect.any(Number) })
      expect(outcome.movedBytesPerToken).toBeGreaterThan(0)
      expect(outcome.tierHotBytes).toBeGreaterThan(1e6)
      expect(readdirSync(dir)).toEqual([])
    }
  })

  test('has the hot bytes that are asked for', async () => {
    expect(await main([...args, ...policy, '--tier', 'host', '--hot-bytes', '3000000'])).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ tier: 'host', tierHotBytes: 3_000_000 })
  })
})

describe('donors in a folder', () => {
  const text = 'The old ferry left the eastern quay at noon, and the wind was high. '.repeat(12)
  const run = async (folder: string, prompt: string, ...more: string[]) => {
    out = ''
    const policy = ['--policy', 'semshare-kv:fidelity=balanced', '--donors', folder]
    expect(await main(['generate', '--prompt', prompt, ...policy, '--max-tokens', '2', '--json', ...more])).toBe(0)
    return JSON.parse(out)
  }

  test('a second run borrows what the first one stored; another scope does not', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kvasir-donors-'))
    const first = await run(folder, `${text}Then`)
    expect(first.reuse).toMatchObject({ accepted: false, reason: 'no stored prompt resembles it', recomputedShare: 1 })
    const copy = `A note. ${text}Now`
    expect((await run(folder, copy, '--scope', 'others')).reuse).toMatchObject({ accepted: false, donors: [] })
    const second = await run(folder, copy)
    expect(second.reuse).toMatchObject({ accepted: true, donors: [expect.any(String)] })
    expect(second.reuse.borrowedTokens).toBeGreaterThan(0.8 * second.promptTokens)
    expect(second.reuse.recomputedShare).toBeLessThan(0.6)
    expect(err).toBe('')
  })

  test('damaged ones are removed, and the prompt is computed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kvasir-donors-'))
    await run(folder, `${text}Then`)
    const [name] = readdirSync(folder).filter((file) => file.endsWith('.kv'))
    const bytes = readFileSync(join(folder, name))
    bytes[bytes.length - 9] ^= 1
    writeFileSync(join(folder, name), bytes)
    expect((await run(folder, `A note. ${text}Now`)).reuse).toMatchObject({
      accepted: false,
      reason: expect.stringMatching(/is damaged/),
    })
    expect(readdirSync(folder)).not.toContain(name)
  })
})

test('eval with nothing left to do shows the suite that was asked for, and keeps what else the folder holds', async () => {
  const root = mkdtempSync(join(tmpdir(), 'kvasir-out-'))
  const folder = join(root, 'out')
  mkdirSync(join(root, 'books'))
  mkdirSync(folder)
  writeFileSync(join(root, 'books/own.txt'), 'Some text.')
  writeFileSync(join(root, 'books/windows.jsonl'), '{"id":"own","book":"books/own.txt","anchor":4}\n')
  const key = { id: 'own', length: 64, policy: 'window', budget: 32 }
  const window = { suite: 'windows', ...key, mode: null, nllNats: 2.5, nllFullNats: 2, klNats: 0.5, top1: 0.5 }
  const needle = { suite: 'niah', ...key, mode: 'A', kind: 'fact', correct: 1, correctFull: 1 }
  const lines = [needle, window].map((row) => `${JSON.stringify(row)}\n`)
  writeFileSync(join(folder, 'results.jsonl'), lines.join(''))
  const args = 'eval windows --policy window --budget 32 --length 64'.split(' ')
  expect(await main([...args, '--data', root, '--out', folder])).toBe(0)
  expect(out).toMatch(/^policy +length +budget +n +KL nats/)
  expect(out.trimEnd().split('\n')).toHaveLength(2)
  expect(readFileSync(join(folder, 'tables.md'), 'utf8')).toMatch(/## niah.*## windows/s)
  out = ''
  expect(await main([...args, '--data', root, '--out', folder, '--json'])).toBe(0)
  expect(JSON.parse(out).rows).toMatchObject([{ suite: 'windows', n: 1, klNats: 0.5 }])
})

test('help says what there is; no command at all is wrong', async () => {
  expect(await main(['--help'])).toBe(0)
  expect(out).toMatch(/demo.*generate.*chat.*eval.*bench.*inspect.*cache/s)
  expect(await main([])).toBe(2)
})

test('the command has no options that its README does not name', async () => {
  const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8')
  for (const name of ['demo', 'generate', 'chat', 'eval', 'bench', 'inspect', 'cache']) {
    out = ''
    expect(await main([name, '--help'])).toBe(0)
    for (const [flag] of out.matchAll(/--[a-z-]+/g)) expect(readme, `${name} ${flag}`).toContain(flag)
  }
})
