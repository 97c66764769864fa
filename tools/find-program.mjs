import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'

/**
 * Finds a program as a shell would.
 * @param {string} name a name, or an absolute path
 * @returns {string | undefined} its absolute path
 */
export function findProgram(name) {
  const suffixes = process.platform === 'win32' ? ['.exe', '.cmd'] : ['']
  const folders = isAbsolute(name) ? [''] : (process.env.PATH ?? '').split(delimiter)
  return folders.flatMap((folder) => suffixes.map((suffix) => join(folder, name + suffix))).find(isProgram)
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
