// The static checks, then every test from sources. The last line counts both: `N passed, N failed, N skipped`.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runChecks } from './check.mjs'

const root = fileURLToPath(new URL('../', import.meta.url))

/**
 * Runs checks and tests; the exit code says whether all passed.
 * @param {string[]} args handed to vitest: files or names to run. With any, the checks are left out.
 */
export async function main(args) {
  const { passed, failed } = args.length === 0 ? await runChecks() : { passed: 0, failed: 0 }
  const vitest = join(root, 'node_modules', '.bin', 'vitest')
  const tests = spawnSync(vitest, ['run', ...args], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, KVASIR_CHECKS: `${passed},${failed}` },
  })
  if (tests.error) console.log(`${tests.error.message}\n${passed} passed, ${failed + 1} failed, 0 skipped`)
  process.exitCode = failed > 0 || tests.status !== 0 ? 1 : 0
}
