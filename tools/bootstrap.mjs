// The one entry after a clone: `npm run demo`, `npm test`, `npm run kvasir`. Plain Node, no dependency.
// Each step (install, TypeScript, addon) leaves a stamp with a key of its inputs, and is skipped while the key holds.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fileKey, readStamp, writeStamp } from './stamps.mjs'

const minimumNode = [20, 19]
const root = fileURLToPath(new URL('../', import.meta.url))
const toolsBin = join(root, '.tools', 'node_modules', '.bin')
const cliEntry = join(root, 'packages', 'cli', 'dist', 'bin.js')

const targets = {
  build: async () => {},
  check: () => import('./check.mjs').then((checks) => checks.main()),
  demo: (args) => runCli(['demo', ...args]),
  kvasir: runCli,
  example: (args) => import('./run-example.mjs').then((examples) => examples.main(args)),
  test: (args) => import('./test.mjs').then((tests) => tests.main(args)),
}

const [target, ...args] = process.argv.slice(2)
if (!Object.hasOwn(targets, target)) {
  fail(`unknown target '${target ?? ''}': expected one of ${Object.keys(targets).join(', ')}`)
}
process.chdir(root)
process.env.PATH = `${toolsBin}${delimiter}${process.env.PATH ?? ''}`
process.env.TURBO_TELEMETRY_DISABLED = '1'
process.env.NODE_LLAMA_CPP_SKIP_DOWNLOAD = 'true'

checkNode()
installPackages()
await Promise.all([buildTypeScript(), buildAddon()])
await targets[target](args)

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > minimumNode[0] || (major === minimumNode[0] && minor >= minimumNode[1])) return
  fail(
    `Node ${minimumNode.join('.')} or newer is needed, this is ${process.versions.node}. Remedy: install a newer Node`,
  )
}

function installPackages() {
  const key = fileKey(
    [
      'pnpm-lock.yaml',
      'pnpm-workspace.yaml',
      'package.json',
      'packages',
      'native',
      'models',
      'bench',
      'examples',
      'tools',
    ],
    (path) => /(^|\/)(package\.json|pnpm-[a-z]+\.yaml)$/.test(path),
  )
  if (readStamp('install') === key && existsSync('node_modules')) return
  say('installing packages')
  const { packageManager } = readManifest('.')
  if (`pnpm@${readManifest('.tools/node_modules/pnpm')?.version}` !== packageManager) {
    runOrFail('npm', ['install', '--prefix', '.tools', '--no-audit', '--no-fund', '--silent', packageManager])
  }
  runOrFail(join(toolsBin, 'pnpm'), [
    'install',
    '--frozen-lockfile',
    '--prefer-offline',
    '--reporter=silent',
    '--config.confirmModulesPurge=false',
  ])
  writeStamp('install', key)
}

function readManifest(folder) {
  const path = join(root, folder, 'package.json')
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined
}

async function buildTypeScript() {
  const key = fileKey(
    ['packages', 'bench', 'tsconfig.base.json', 'tsup.base.ts', 'pnpm-lock.yaml'],
    (path) => !path.endsWith('.test.ts') && !path.endsWith('.md'),
  )
  if (readStamp('typescript') === key && existsSync(cliEntry)) return
  say('building TypeScript')
  const turbo = join(root, 'node_modules', '.bin', 'turbo')
  const { code, log } = await run(turbo, ['run', 'build', '--concurrency=2', '--output-logs=errors-only'])
  if (code !== 0) fail(`TypeScript did not build\n${lastLines(log, 60)}`)
  writeStamp('typescript', key)
}

async function buildAddon() {
  const { addonPath, buildNative, missingTool } = await import('./build-native.mjs')
  const sources = readManifest('native').files.map((path) => `native/${path}`)
  const key = fileKey(
    [...sources, 'native/package.json', 'tools/build-native.mjs', 'pnpm-lock.yaml'],
    (path) => !path.startsWith('native/build/'),
  )
  if (readStamp('addon') === key && existsSync(addonPath)) return
  const missing = missingTool()
  if (missing) return say(existsSync(addonPath) ? `${missing}. The addon built earlier stays in use` : missing)
  say('building the native addon')
  const { ok, log } = await buildNative()
  if (ok) return writeStamp('addon', key)
  rmSync(addonPath, { force: true })
  // A demo still runs without the addon; a test run must not pass over code that does not compile.
  const report = `the native addon did not compile\n${lastLines(log, 60)}`
  if (target === 'test' || target === 'check' || target === 'build') fail(report)
  say(`${report}\nkvasir: going on with the plain TypeScript kernels (slow)`)
}

async function runCli(cliArgs) {
  const { addonPath } = await import('./build-native.mjs')
  // Why there is no addon has been said: the kernels need not say it again.
  if (!existsSync(addonPath)) process.env.KVASIR_BACKEND ??= 'reference'
  process.argv = [process.argv[0], cliEntry, ...cliArgs]
  await import(cliEntry)
}

function runOrFail(command, commandArgs) {
  const result = spawnSync(command, commandArgs, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' })
  if (result.status === 0) return
  const log = result.error?.message ?? `${result.stdout}${result.stderr}`
  fail(`'${[command, ...commandArgs].join(' ')}' failed\n${lastLines(log, 30)}`)
}

function run(command, commandArgs) {
  return new Promise((done) => {
    const child = spawn(command, commandArgs, { stdio: ['ignore', 'pipe', 'pipe'] })
    let log = ''
    const collect = (chunk) => {
      log += chunk
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    child.on('error', (error) => done({ code: 1, log: error.message }))
    child.on('close', (code) => done({ code, log }))
  })
}

function lastLines(log, count) {
  return log.trimEnd().split('\n').slice(-count).join('\n')
}

function say(message) {
  console.error(`kvasir: ${message}`)
}

function fail(message) {
  say(message)
  process.exit(1)
}
