// Runs an example from its TypeScript source against the built packages.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../', import.meta.url))

/** @param {string[]} args the example's folder name, then its own arguments */
export function main([name, ...args]) {
  const folder = join(root, 'examples', name ?? '')
  if (!name || !existsSync(join(folder, 'main.ts'))) {
    console.error(
      `kvasir: no example '${name ?? ''}': expected one of ${readdirSync(join(root, 'examples')).join(', ')}`,
    )
    process.exitCode = 2
    return
  }
  const tsx = join(root, 'node_modules', '.bin', 'tsx')
  process.exitCode = spawnSync(tsx, ['main.ts', ...args], { cwd: folder, stdio: 'inherit' }).status ?? 1
}
