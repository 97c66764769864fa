// Checks of plain text: links between pages, and a lockfile that names no host.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { listWorkspaces } from './workspaces.mjs'

/**
 * Follows every relative link of every page.
 * @param {string} root the repository's folder
 * @returns {string[]} one line a broken link
 */
export function checkLinks(root) {
  return listPages(root).flatMap((page) => {
    const text = readFileSync(page, 'utf8').replace(/^```[\s\S]*?^```/gm, '')
    return [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map((match) => match[1])
      .filter((target) => !/^[a-z]+:/.test(target) && !existsSync(join(dirname(page), target)))
      .map((target) => `${relative(root, page)}: nothing at '${target}'`)
  })
}

/**
 * Checks that the lockfile leaves the choice of registry to whoever installs.
 * @param {string} root the repository's folder
 * @returns {string[]} one line a problem
 */
export function checkLockfile(root) {
  return readFileSync(join(root, 'pnpm-lock.yaml'), 'utf8')
    .split('\n')
    .flatMap((line, index) =>
      /https?:\/\/|tarball:/.test(line) ? [`pnpm-lock.yaml:${index + 1}: ${line.trim()}`] : [],
    )
}

function listPages(root) {
  const inDocs = readdirSync(join(root, 'docs'), { recursive: true }).map((name) => join(root, 'docs', name))
  const inRoot = readdirSync(root).map((name) => join(root, name))
  const inPackages = listWorkspaces(root).map((workspace) => join(workspace.folder, 'README.md'))
  return [...inRoot, ...inDocs, ...inPackages].filter((path) => path.endsWith('.md') && existsSync(path))
}
