import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Lists the packages of this repository, as pnpm-workspace.yaml names them.
 * @param {string} root the repository's folder
 * @returns {{ name: string, folder: string, manifest: Record<string, any> }[]} folders relative to `root` if that is '.'
 */
export function listWorkspaces(root) {
  const parents = ['packages', 'models', 'examples'].flatMap((parent) =>
    readdirSync(join(root, parent)).map((name) => join(root, parent, name)),
  )
  return [...parents, join(root, 'native'), join(root, 'bench'), join(root, 'tools')]
    .filter((folder) => existsSync(join(folder, 'package.json')))
    .map((folder) => {
      const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
      return { name: manifest.name, folder, manifest }
    })
}
