// All static checks, two at a time, one line each; what a failing check says follows its line.
import { spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { checkGraph } from './check-graph.mjs'
import { checkPublish } from './check-publish.mjs'
import { checkLinks, checkLockfile } from './check-text.mjs'
import { writeSnippets } from './readme-snippets.mjs'

const root = fileURLToPath(new URL('../', import.meta.url))
const maxLinesShown = 80

/** Each check gives its problems as text; none is a pass. */
const checks = {
  types: () => {
    writeSnippets(root)
    return runTool('tsc', ['--project', 'tsconfig.json', '--pretty', 'false'])
  },
  publish: async () => (await checkPublish(root)).join('\n'),
  style: () => runTool('biome', ['ci', '--colors=off', '--max-diagnostics=40', '.']),
  unused: () => runTool('knip', ['--no-progress']),
  graph: () => checkGraph('.').join('\n'),
  links: () => checkLinks(root).join('\n'),
  lockfile: () => checkLockfile(root).join('\n'),
}

/**
 * Runs all checks and prints their verdicts.
 * @returns {Promise<{ passed: number, failed: number }>}
 */
export async function runChecks() {
  process.chdir(root)
  const queue = Object.entries(checks).values()
  const verdicts = []
  const lanes = [1, 2].map(async () => {
    for (const [name, check] of queue) verdicts.push(await runCheck(name, check))
  })
  await Promise.all(lanes)
  const passed = verdicts.filter(Boolean).length
  return { passed, failed: verdicts.length - passed }
}

/** Runs the checks alone; the exit code says whether all passed. */
export async function main() {
  const { passed, failed } = await runChecks()
  console.log(`${passed} passed, ${failed} failed, 0 skipped`)
  if (failed > 0) process.exitCode = 1
}

async function runCheck(name, check) {
  const startMs = performance.now()
  const problems = await Promise.resolve()
    .then(check)
    .catch((error) => String(error.stack ?? error))
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1)
  console.log(`${problems ? 'FAIL' : 'ok  '} check ${name.padEnd(9)} ${seconds.padStart(5)} s`)
  if (problems) console.log(shorten(problems))
  return !problems
}

/** Runs an installed tool; gives what it printed if it failed, else nothing. */
function runTool(name, args) {
  return new Promise((done) => {
    const child = spawn(join(root, 'node_modules', '.bin', name), args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let log = ''
    const collect = (chunk) => {
      log += chunk
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    child.on('error', (error) => done(error.message))
    child.on('close', (code) => done(code === 0 ? '' : log.trim() || `${name} ended with code ${code}`))
  })
}

function shorten(text) {
  const lines = text.trimEnd().split('\n')
  if (lines.length <= maxLinesShown) return lines.join('\n')
  return [...lines.slice(0, maxLinesShown), `... and ${lines.length - maxLinesShown} lines more`].join('\n')
}

if (process.argv[1] && import.meta.url === pathToFileURL(resolve(process.argv[1])).href) await main()
