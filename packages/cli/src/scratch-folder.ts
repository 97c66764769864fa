import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { OptionError } from '@kvasir/core'

/** Signals that end a process, which it may answer first. */
const endings = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export interface ScratchFolder extends Disposable {
  readonly path: string
}

/**
 * A new folder inside `parent`. It goes on dispose, and where the process exits or is ended by Ctrl-C before that. Throws
 * OptionError that names `option` where the parent will not do.
 */
export function openScratchFolder(option: string, parent: string): ScratchFolder {
  const path = makeFolder(option, parent)
  const remove = () => rmSync(path, { recursive: true, force: true })
  const dispose = () => {
    process.off('exit', remove)
    for (const signal of endings) process.off(signal, onSignal)
    remove()
  }
  const onSignal = (signal: NodeJS.Signals) => {
    dispose()
    process.kill(process.pid, signal)
  }
  process.on('exit', remove)
  for (const signal of endings) process.on(signal, onSignal)
  return { path, [Symbol.dispose]: dispose }
}

function makeFolder(option: string, parent: string): string {
  try {
    return mkdtempSync(join(parent, 'kvasir-'))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new OptionError({
      parameter: option,
      expected: 'a folder that is there and can be written',
      got: `${parent} (${code})`,
      remedy: 'Make the folder, or give another one.',
      cause: error,
    })
  }
}
