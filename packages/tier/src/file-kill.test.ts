import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from '@kvasir/core/testing'
import { expect, test } from 'vitest'
import { fileDonors } from './file-donors.ts'

const numTokens = 50_000
const numLayers = 4
const layerBytes = numTokens * 16
const budgetBytes = 10 * numLayers * layerBytes
const scope = { tenant: 't', group: 'g', model: 'm', layout: 'l', policy: 'p' }

/** Puts donor after donor, more than the budget holds, and says which it has put. Every byte of one is its number. */
const writer = `
  const { fileDonors } = await import('./src/index.ts')
  const store = await fileDonors({ folder: process.argv[1], budgetBytes: ${budgetBytes} })
  const layer = { numHeads: 1, numKvHeads: 1, headDim: 4, rope: null }
  const format = { model: 'm', type: 'f16', shape: { layers: Array(${numLayers}).fill(layer) } }
  const tokens = new Int32Array(${numTokens})
  process.stdout.write('started\\n')
  for (let seed = Number(process.argv[2]); ; seed++) {
    const layer = async () => new Uint8Array(${layerBytes}).fill(seed % 251)
    const isPut = await store.put({ id: String(seed), scope: ${JSON.stringify(scope)}, tokens, format, layer, close() {} })
    process.stdout.write((isPut ? 'put ' : 'refused ') + seed + '\\n')
  }
`

/** Lets a process write for a while, kills it, and gives what it said. */
async function writeUntilKilled(folder: string, firstSeed: number, waitMs: number): Promise<string[]> {
  const args = ['--conditions=@kvasir/source', '--import', 'tsx', '--input-type=module', '-e', writer, folder]
  const child = spawn(process.execPath, [...args, String(firstSeed)], { cwd: join(import.meta.dirname, '..') })
  let [said, complaints] = ['', '']
  child.stderr.on('data', (chunk) => (complaints += chunk))
  child.stdout.on('data', (chunk) => (said += chunk))
  const ended = once(child, 'close')
  await Promise.race([once(child.stdout, 'data'), ended])
  await sleep(waitMs)
  child.kill('SIGKILL')
  const [, signal] = await ended
  expect(signal, complaints).toBe('SIGKILL')
  return said.split('\n').slice(0, -1)
}

test('a process killed while it writes leaves whole donors and nothing else', { timeout: 240_000 }, async () => {
  const random = seededRandom(7)
  const seen = { unfinished: 0, puts: 0, reads: 0 }
  const lane = async (numKills: number) => {
    const folder = await mkdtemp(join(tmpdir(), 'kvasir-kill-'))
    let seed = 0
    for (let kill = 0; kill < numKills; kill++) {
      const said = await writeUntilKilled(folder, seed, 5 + random.integer(120))
      const puts = said.filter((line) => line.startsWith('put ')).map((line) => Number(line.slice(4)))
      expect(said.join()).not.toContain('refused')
      seen.puts += puts.length
      seed += puts.length + 1
      seen.unfinished += (await readdir(folder)).filter((name) => name.endsWith('.part')).length
      const store = await fileDonors({ folder, budgetBytes })
      expect(store.counts().damaged).toBe(0)
      for (const last of puts.slice(-3)) expect(store.has(String(last)), `donor ${last} was put`).toBe(true)
      for (const id of store.ids()) {
        const donor = (await store.open(id, scope))!
        for (let layer = 0; layer < numLayers; layer++) {
          const expected = Buffer.alloc(layerBytes, Number(id) % 251)
          expect(expected.equals(await donor.layer(layer)), `layer ${layer} of donor ${id}`).toBe(true)
          seen.reads++
        }
        donor.close()
      }
      expect((await readdir(folder)).every((name) => name.endsWith('.kv'))).toBe(true)
      await store.dispose()
    }
  }
  await Promise.all([lane(14), lane(14)])
  console.log(`28 kills: ${seen.puts} puts, ${seen.unfinished} unfinished files, ${seen.reads} layers read, all right`)
  expect(seen.unfinished).toBeGreaterThan(3)
  expect(seen.puts).toBeGreaterThan(28)
})
