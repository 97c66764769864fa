// Packs every publishable package as it would be published and asks publint and attw (arethetypeswrong) about it.
// A verdict is kept under a key of what was packed, so that only changed packages are asked about again.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { listWorkspaces } from './workspaces.mjs'

const runFile = promisify(execFile)

/**
 * Checks all publishable packages.
 * @param {string} root the repository's folder
 * @returns {Promise<string[]>} one or more lines a problem
 */
export async function checkPublish(root) {
  const publishable = listWorkspaces(root).filter((workspace) => !workspace.manifest.private)
  const queue = publishable.values()
  const problems = []
  const lanes = [1, 2].map(async () => {
    for (const workspace of queue) problems.push(...(await checkPackage(root, workspace)))
  })
  await Promise.all(lanes)
  return problems
}

async function checkPackage(root, { name, folder, manifest }) {
  const cache = join(root, 'node_modules', '.cache', 'kvasir', 'publish')
  const stamp = join(cache, `${name.replace('/', '-')}.stamp`)
  const key = packedKey(folder, manifest)
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return []
  const scratch = mkdtempSync(join(tmpdir(), 'kvasir-pack-'))
  try {
    const pnpm = join(root, '.tools', 'node_modules', '.bin', 'pnpm')
    await runFile(pnpm, ['pack', '--pack-destination', scratch], {
      cwd: folder,
      env: { ...process.env, npm_config_ignore_scripts: 'true' },
    })
    const tarball = join(scratch, readdirSync(scratch)[0])
    const problems = [...(await askPublint(tarball)), ...(await askAttw(root, manifest, tarball))]
    if (problems.length === 0) {
      mkdirSync(cache, { recursive: true })
      writeFileSync(stamp, key)
    }
    return problems.map((problem) => `${name}: ${problem}`)
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

async function askPublint(tarball) {
  const data = readFileSync(tarball)
  const buffer = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength)
  const { messages, pkg } = await publint({ pack: { tarball: buffer }, strict: true })
  return messages.map((message) => `publint ${message.type}: ${formatMessage(message, pkg, { color: false })}`)
}

/** ESM alone is what we publish, so resolution by old CommonJS rules is left out. A package of a command alone has no types to ask about. */
async function askAttw(root, manifest, tarball) {
  const entries = Object.keys(manifest.exports).filter((entry) => entry !== './package.json')
  if (entries.length === 0) return []
  const attw = join(root, 'node_modules', '.bin', 'attw')
  const args = [
    tarball,
    '--profile',
    'esm-only',
    '--format',
    'ascii',
    '--no-emoji',
    '--no-color',
    '--entrypoints',
    ...entries,
  ]
  try {
    await runFile(attw, args)
    return []
  } catch (error) {
    return [`attw:\n${error.stdout}${error.stderr}`]
  }
}

function packedKey(folder, manifest) {
  const hash = createHash('sha256')
  for (const path of ['package.json', ...manifest.files.filter((path) => !path.startsWith('!'))]) {
    for (const file of listFiles(join(folder, path))) hash.update(`${file}\n`).update(contentsOrSize(file))
  }
  return hash.digest('hex')
}

/** The bundled model is 98 MB: its size stands for it. */
function contentsOrSize(file) {
  const { size } = statSync(file)
  return size > 8_000_000 ? String(size) : readFileSync(file)
}

function listFiles(path) {
  const entry = statSync(path, { throwIfNoEntry: false })
  if (!entry) return []
  return entry.isDirectory()
    ? readdirSync(path)
        .sort()
        .flatMap((name) => listFiles(join(path, name)))
    : [path]
}
