// Takes every ```ts block out of the READMEs and docs, into tools/.snippets, where the compiler checks it and a test runs it.
// A block marked ```ts no-run is compiled only. A README without such a block has nothing to check.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { listWorkspaces } from './workspaces.mjs'

/**
 * @typedef {object} Snippet
 * @property {string} page the page it stands on, relative to the root
 * @property {number} line the line of its first code line, counted from 1
 * @property {boolean} runs false for ```ts no-run
 * @property {string} file where it was written, absolute
 */

/**
 * Writes all snippets out and removes those of an earlier time.
 * @param {string} root the repository's folder
 * @returns {Snippet[]}
 */
export function writeSnippets(root) {
  const target = join(root, 'tools', '.snippets')
  mkdirSync(target, { recursive: true })
  const snippets = listPages(root).flatMap((page) =>
    findSnippets(readFileSync(page, 'utf8')).map(({ code, ...snippet }) => {
      const name = `${relative(root, page).replace(/\.md$/, '').replaceAll('/', '-')}-${snippet.line}.ts`
      return { ...snippet, page: relative(root, page), file: join(target, name), code }
    }),
  )
  const wanted = new Set(snippets.map((snippet) => snippet.file))
  for (const name of readdirSync(target)) if (!wanted.has(join(target, name))) rmSync(join(target, name))
  for (const { file, code } of snippets) {
    if (!existsSync(file) || readFileSync(file, 'utf8') !== code) writeFileSync(file, code)
  }
  return snippets.map(({ code, ...snippet }) => snippet)
}

/**
 * Finds the TypeScript blocks of one page.
 * @param {string} text Markdown
 * @returns {{ line: number, runs: boolean, code: string }[]}
 */
export function findSnippets(text) {
  return [...text.matchAll(/^```ts( no-run)?\n([\s\S]*?)^```$/gm)].map((match) => ({
    line: text.slice(0, match.index).split('\n').length + 1,
    runs: match[1] === undefined,
    code: match[2],
  }))
}

function listPages(root) {
  const docs = existsSync(join(root, 'docs')) ? readdirSync(join(root, 'docs'), { recursive: true }) : []
  return [
    join(root, 'README.md'),
    ...docs.filter((name) => name.endsWith('.md')).map((name) => join(root, 'docs', name)),
    ...listWorkspaces(root).map((workspace) => join(workspace.folder, 'README.md')),
  ].filter(existsSync)
}
