import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { availableBackends } from '../backends.ts'

const missing = availableBackends().some(({ backend, missing }) => backend === 'cpu' && missing !== undefined)
const script = fileURLToPath(new URL('./environments.mjs', import.meta.url))

/** Runs the script to its end; rejects if it dies. */
async function runScript(...args: string[]): Promise<Record<string, number>> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', script, ...args])
  return JSON.parse(stdout) as Record<string, number>
}

test.skipIf(missing)('eight worker threads use the addon at once', { timeout: 60_000 }, async () => {
  expect(await runScript('workers')).toEqual({ right: 8 })
})

test.skipIf(missing)(
  'worker threads that end with work in flight leave nothing behind',
  { timeout: 240_000 },
  async () => {
    const { cycles, growthMiB } = await runScript('cycles', '200')
    expect(cycles).toBe(200)
    expect(growthMiB).toBeLessThanOrEqual(8)
  },
)

test.skipIf(missing)(
  'runs, and handles released or forgotten, leave no memory behind',
  { timeout: 120_000 },
  async () => {
    const { runs, growthMiB } = await runScript('churn')
    expect(runs).toBeGreaterThan(50_000)
    expect(growthMiB).toBeLessThanOrEqual(4)
  },
)
