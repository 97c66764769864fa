import { createInterface, type Interface } from 'node:readline'
import { KvasirError } from '@kvasir/core'
import { makePolicy } from '@kvasir/eval'
import type { Command } from 'commander'
import colors from 'picocolors'
import { integer } from '../arguments.ts'
import { Conversation } from '../conversation.ts'
import { addDonorsOptions, type DonorsFlags, openDonors } from '../donors-option.ts'
import { modelOption, openModel } from '../model.ts'
import { note } from '../output.ts'
import { readArm } from '../policy-option.ts'
import { addTierOptions, openTier, type TierFlags } from '../tier-option.ts'

interface ChatFlags extends TierFlags, DonorsFlags {
  readonly model: string
  readonly policy?: string
  readonly maxTokens: number
}

export function addChatCommand(program: Command): void {
  const command = program
    .command('chat')
    .description('talk to the model, at the terminal or line by line from stdin; /reset starts anew, /exit ends')
    .option(...modelOption)
    .option('--policy <spec>', 'cache policy, such as sentence-kv:budget=256 (default: the full cache)')
    .option('--max-tokens <n>', 'most tokens of a reply', integer('--max-tokens', 1), 512)
  addDonorsOptions(addTierOptions(command)).action(runChat)
}

async function runChat({ model: path, policy: spec, maxTokens, ...flags }: ChatFlags): Promise<void> {
  const arm = readArm(spec)
  using placed = await openTier(flags, path, [arm.budget])
  await using lending = await openDonors(flags, arm)
  const policy = makePolicy(arm, lending.resources)
  await using model = await openModel(path, { tier: placed.tier, ...lending.resources })
  await using conversation = new Conversation(model, { policy, ...lending.scopeOf(model, policy) })
  const atTerminal = process.stdin.isTTY === true
  const lines = createInterface({
    input: process.stdin,
    terminal: atTerminal,
    prompt: colors.bold('> '),
    ...(atTerminal && { output: process.stdout }),
  })
  if (atTerminal) note('/reset starts anew, /exit ends, Ctrl-C stops a reply')
  await readTurns(lines, atTerminal, conversation, maxTokens)
}

async function readTurns(
  lines: Interface,
  atTerminal: boolean,
  conversation: Conversation,
  maxTokens: number,
): Promise<void> {
  let reply: AbortController | null = null
  // At a terminal readline takes Ctrl-C as a key: during a reply it stops that, else it ends the command.
  lines.on('SIGINT', () => (reply ? reply.abort() : lines.close()))
  if (atTerminal) lines.prompt()
  for await (const line of lines) {
    const text = line.trim()
    if (text === '/exit') break
    if (text === '/reset') await conversation.reset()
    else if (text.startsWith('/')) note(`unknown command ${text}: expected /reset or /exit`)
    else if (text !== '') {
      reply = new AbortController()
      await answer(conversation, text, maxTokens, reply.signal)
      reply = null
    }
    if (atTerminal) lines.prompt()
  }
  lines.close()
}

/** A turn that fails, such as one too long for the context, ends neither the loop nor the conversation. */
async function answer(conversation: Conversation, text: string, maxTokens: number, signal: AbortSignal): Promise<void> {
  try {
    for await (const piece of conversation.say(text, { maxTokens, signal })) process.stdout.write(piece)
    process.stdout.write('\n')
  } catch (error) {
    if (!(error instanceof KvasirError)) throw error
    note(error.message)
  }
}
