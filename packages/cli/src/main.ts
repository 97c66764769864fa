import { Command, CommanderError } from 'commander'
import { addBenchCommand } from './commands/bench.ts'
import { addCacheCommand } from './commands/cache.ts'
import { addChatCommand } from './commands/chat.ts'
import { addDemoCommand } from './commands/demo.ts'
import { addEvalCommand } from './commands/eval.ts'
import { addGenerateCommand } from './commands/generate.ts'
import { addInspectCommand } from './commands/inspect.ts'
import { describeFailure, exitCodes } from './failure.ts'

/**
 * Runs one command line (without node and the script) and returns the exit code: 0 done, 1 the run failed, 2 wrong
 * arguments. A failure is one line on stderr. Ctrl-C is left to the system, once a scratch folder is gone: it ends the
 * process at once, and no file of results is ever written in more than one step.
 */
export async function main(args: readonly string[]): Promise<number> {
  const program = buildProgram()
  try {
    await program.parseAsync(args.length === 0 ? ['help'] : args, { from: 'user' })
    return args.length === 0 ? exitCodes.wrongArguments : exitCodes.done
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) {
      return args.length === 0 ? exitCodes.wrongArguments : exitCodes.done
    }
    const { line, code } = describeFailure(error, program, args)
    process.stderr.write(`kvasir: ${line}\n`)
    return code
  }
}

function buildProgram(): Command {
  const program = new Command('kvasir')
  program
    .description('Cache policies for language models: run them, look at them, measure them')
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .showSuggestionAfterError(false)
  addDemoCommand(program)
  addGenerateCommand(program)
  addChatCommand(program)
  addEvalCommand(program)
  addBenchCommand(program)
  addInspectCommand(program)
  addCacheCommand(program)
  return program
}
