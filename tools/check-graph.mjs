// Fails on an import that points the wrong way, a cycle between packages, a cycle of values between files,
// `export *`, a file or folder called utils, or a file of more than 400 lines. The rules are the tables at the top.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import ts from 'typescript'
import { listWorkspaces } from './workspaces.mjs'

const maxLines = 400

/** What each package may import from the others; 'any' for those that stand at the top. */
const allowedImports = {
  '@kvasir/core': [],
  '@kvasir/native': [],
  '@kvasir/model-smollm2-135m-instruct': [],
  '@kvasir/segment': ['@kvasir/core'],
  '@kvasir/kernels': ['@kvasir/core', '@kvasir/native'],
  '@kvasir/kernels-cuda-linux-x64': [],
  '@kvasir/semantic': ['@kvasir/core', '@kvasir/kernels'],
  '@kvasir/lsh': ['@kvasir/core', '@kvasir/kernels'],
  '@kvasir/rope': ['@kvasir/core', '@kvasir/kernels'],
  '@kvasir/tier': ['@kvasir/core', '@kvasir/kernels'],
  '@kvasir/semshare-kv': ['@kvasir/core', '@kvasir/kernels', '@kvasir/lsh', '@kvasir/rope', '@kvasir/tier'],
  '@kvasir/sentence-kv': ['@kvasir/core', '@kvasir/kernels', '@kvasir/segment', '@kvasir/semantic', '@kvasir/rope'],
  '@kvasir/baselines': ['@kvasir/core', '@kvasir/kernels', '@kvasir/segment', '@kvasir/semantic', '@kvasir/rope'],
  '@kvasir/llama': ['@kvasir/core', '@kvasir/kernels', '@kvasir/rope', '@kvasir/tier'],
  '@kvasir/eval': 'any',
  '@kvasir/report': ['@kvasir/core', '@kvasir/eval'],
  '@kvasir/bench': 'any',
  kvasir: 'any',
  '@kvasir/example-long-document': 'any',
  '@kvasir/example-mixed-policies': 'any',
  '@kvasir/example-own-policy': 'any',
  '@kvasir/example-similar-prompts': 'any',
  '@kvasir/tools': 'any',
}

/** Tests may reach for more than the code beside them: a real model, say. */
const allowedInTests = {
  '@kvasir/rope': ['@kvasir/llama'],
  '@kvasir/semshare-kv': ['@kvasir/llama', '@kvasir/model-smollm2-135m-instruct'],
}

const sourceFile = /\.(ts|mjs|js|cc|cpp|c|h|hpp|inl|cu|cuh)$/
const scriptFile = /\.(ts|mjs|js)$/

/**
 * Checks the whole repository.
 * @param {string} root
 * @returns {string[]} one line a problem
 */
export function checkGraph(root) {
  const workspaces = listWorkspaces(root)
  const problems = []
  const packageEdges = new Map()
  for (const workspace of workspaces) {
    if (!(workspace.name in allowedImports)) {
      problems.push(`${workspace.name}: give this package a row in tools/check-graph.mjs`)
      continue
    }
    const files = listFiles(workspace.folder).filter((file) => sourceFile.test(file))
    problems.push(...files.flatMap(checkSize), ...files.flatMap(checkName))
    const modules = files.filter((file) => scriptFile.test(file) && !file.endsWith('.d.ts')).map(readModule)
    problems.push(...modules.flatMap((module) => checkDirection(workspace, module)))
    problems.push(
      ...modules
        .filter((module) => module.exportsStar)
        .map((module) => `${module.file}: 'export *' hides what is public`),
    )
    const fileEdges = new Map(
      modules.map((module) => [
        module.file,
        module.valueImports.filter(isRelative).map((name) => resolveFrom(module.file, name)),
      ]),
    )
    problems.push(...findCycles(fileEdges).map((cycle) => `import cycle: ${cycle.join(' -> ')}`))
    packageEdges.set(workspace.name, packagesImported(modules.filter((module) => !isTest(module.file))))
  }
  problems.push(...findCycles(packageEdges).map((cycle) => `package cycle: ${cycle.join(' -> ')}`))
  return problems
}

/**
 * Finds the cycles of a directed graph, each once.
 * @param {Map<string, string[]>} edges
 * @returns {string[][]} each cycle with its first node repeated at the end
 */
export function findCycles(edges) {
  const cycles = []
  const done = new Set()
  const path = []
  const visit = (node) => {
    const seenAt = path.indexOf(node)
    if (seenAt >= 0) {
      cycles.push([...path.slice(seenAt), node])
      return
    }
    if (done.has(node) || !edges.has(node)) return
    path.push(node)
    for (const next of edges.get(node)) visit(next)
    path.pop()
    done.add(node)
  }
  for (const node of edges.keys()) visit(node)
  return cycles
}

function readModule(file) {
  const text = readFileSync(file, 'utf8')
  const imports = ts.preProcessFile(text, true, true).importedFiles.map((reference) => reference.fileName)
  const typesOnly = new Set(typeImports(file, text))
  return {
    file,
    imports,
    valueImports: imports.filter((name) => !typesOnly.has(name)),
    exportsStar: /^export \*(?! as)/m.test(text),
  }
}

/** Modules of which a file takes types alone: nothing of such an import is left when the code runs. */
function typeImports(file, text) {
  const { statements } = ts.createSourceFile(file, text, ts.ScriptTarget.Latest)
  const from = (wantsTypes) =>
    statements
      .filter((node) => (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier)
      .filter((node) => Boolean(node.importClause?.isTypeOnly ?? node.isTypeOnly) === wantsTypes)
      .map((node) => node.moduleSpecifier.text)
  const values = new Set(from(false))
  return from(true).filter((name) => !values.has(name))
}

function checkDirection(workspace, module) {
  const allowed = allowedImports[workspace.name]
  if (allowed === 'any') return []
  const extra = servesTests(module.file) ? (allowedInTests[workspace.name] ?? []) : []
  return packagesImported([module])
    .filter((name) => name !== workspace.name && !allowed.includes(name) && !extra.includes(name))
    .map((name) => `${module.file}: ${workspace.name} must not import ${name}`)
}

function packagesImported(modules) {
  const names = modules
    .flatMap((module) => module.imports)
    .map((name) => /^(@kvasir\/[^/]+|kvasir)(?=\/|$)/.exec(name)?.[1])
  return [...new Set(names.filter(Boolean))]
}

function checkSize(file) {
  const lines = readFileSync(file, 'utf8').split('\n').length - 1
  return lines > maxLines ? [`${file}: ${lines} lines, at most ${maxLines}: split it where the second idea begins`] : []
}

function checkName(file) {
  return /(^|\/)(utils?|helpers?|misc|common)([./]|$)/.test(file) ? [`${file}: name the file after what is in it`] : []
}

function isTest(file) {
  return file.endsWith('.test.ts')
}

/** Tests, and what only they import. */
function servesTests(file) {
  return isTest(file) || file.includes('/src/testing/')
}

function isRelative(name) {
  return name.startsWith('.')
}

function resolveFrom(file, name) {
  return normalize(join(dirname(file), name))
}

function listFiles(folder) {
  const skipped = new Set(['node_modules', 'dist', 'build', '.turbo', '.snippets'])
  return readdirSync(folder)
    .filter((name) => !skipped.has(name))
    .map((name) => join(folder, name))
    .flatMap((path) => (statSync(path).isDirectory() ? listFiles(path) : [path]))
}
