import { KvasirError, OptionError } from '@kvasir/core'
import { type Command, CommanderError } from 'commander'

export const exitCodes = { done: 0, failed: 1, wrongArguments: 2 } as const

/** What is printed of an error, and the exit code. Only what nobody foresaw comes with its stack. */
export function describeFailure(
  error: unknown,
  program: Command,
  args: readonly string[],
): { readonly line: string; readonly code: number } {
  if (error instanceof CommanderError) {
    return { line: oneLine(withAllowed(error, program, args)), code: exitCodes.wrongArguments }
  }
  if (error instanceof OptionError) return { line: oneLine(error.message), code: exitCodes.wrongArguments }
  if (error instanceof KvasirError || isSystemError(error)) {
    return { line: oneLine(error.message), code: exitCodes.failed }
  }
  return { line: error instanceof Error ? (error.stack ?? error.message) : String(error), code: exitCodes.failed }
}

function withAllowed({ message }: CommanderError, program: Command, [name]: readonly string[]): string {
  const text = message.replace(/^error: /, '')
  const named = program.commands.find((candidate) => candidate.name() === name)
  const command = named ?? program
  const isGroup = command.commands.length > 0
  const allowed = isGroup ? command.commands.map((each) => each.name()) : command.options.map(({ long }) => long)
  return `${text}: expected ${isGroup ? 'one of' : 'options out of'} ${allowed.join(', ')}`
}

/** A failure of the operating system, such as a file that is not there. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string'
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ')
}
