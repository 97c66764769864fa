import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { OptionError } from '@kvasir/core'
import { makePolicy, memoryOf } from '@kvasir/eval'
import { encodeChat, encodePrompt, generate, type LlamaModel, type Sequence } from '@kvasir/llama'
import type { Command } from 'commander'
import colors from 'picocolors'
import { decimal, integer } from '../arguments.ts'
import { addDonorsOptions, type DonorsFlags, openDonors } from '../donors-option.ts'
import { modelOption, openModel } from '../model.ts'
import { formatBytes, printJson } from '../output.ts'
import { readArm } from '../policy-option.ts'
import { addTierOptions, describeTier, openTier, type TierFlags } from '../tier-option.ts'

interface GenerateFlags extends TierFlags, DonorsFlags {
  readonly model: string
  readonly prompt?: string
  readonly promptFile?: string
  readonly chat?: true
  readonly policy?: string
  readonly maxTokens: number
  readonly seed?: number
  readonly temperature: number
  readonly json?: true
}

export function addGenerateCommand(program: Command): void {
  const command = program
    .command('generate')
    .description('continue a prompt; the text comes on stdout as it is made')
    .option(...modelOption)
    .option('--prompt <text>', 'the prompt')
    .option('--prompt-file <file>', 'a file with the prompt, - for stdin')
    .option('--chat', "send the prompt as a user's message")
    .option('--policy <spec>', 'cache policy, such as sentence-kv:budget=256 (default: the full cache)')
    .option('--max-tokens <n>', 'most new tokens', integer('--max-tokens', 1), 256)
    .option('--seed <n>', 'seed of the sampler (default: at random)', integer('--seed', 0))
    .option('--temperature <x>', '0 always takes the most probable token', decimal('--temperature', 0, 1000), 0)
    .option('--json', 'print one JSON object when done')
  addDonorsOptions(addTierOptions(command)).action(runGenerate)
}

async function runGenerate(flags: GenerateFlags): Promise<void> {
  const prompt = readPrompt(flags)
  const arm = readArm(flags.policy)
  using placed = await openTier(flags, flags.model, [arm.budget])
  await using lending = await openDonors(flags, arm)
  const policy = makePolicy(arm, lending.resources)
  await using model = await openModel(flags.model, { tier: placed.tier, ...lending.resources })
  await using sequence = model.createSequence({ policy, ...lending.scopeOf(model, policy) })
  const seed = flags.seed ?? randomInt(2 ** 32)
  const write = flags.json ? () => {} : (text: string) => process.stdout.write(text)
  const tokens = flags.chat ? encodeChat(model, [{ role: 'user', content: prompt }]) : encodePrompt(model, prompt)
  const outcome = await run(model, sequence, tokens, { ...flags, seed }, write)
  const report = sequence.report()
  const memory = memoryOf(report, model.config, model.tierCounts()?.movedBytes)
  const { reuse } = report
  const { temperature } = flags
  const settings = { model: basename(flags.model), policy: arm.spec.text, budget: arm.budget, seed, temperature }
  if (flags.json) {
    printJson({
      ...settings,
      ...describeTier(placed.tier),
      ...outcome,
      ...memory,
      ...(lending.resources.donors && { reuse }),
    })
    return
  }
  const { promptTokens, newTokens, prefillMs, decodeMsPerToken } = outcome
  const decoded = newTokens > 1 ? ` at ${decodeMsPerToken.toFixed(1)} ms each` : ''
  const hot = newTokens > 1 ? `; ${formatBytes(memory.hotBytes)} of KV read a step` : ''
  const moves = newTokens > 1 && memory.movedBytesPerToken !== null
  const moved = moves ? `; ${formatBytes(memory.movedBytesPerToken)} moved up a step` : ''
  const read = `${promptTokens} tokens read in ${(prefillMs / 1e3).toFixed(2)} s`
  const lent = reuse === null ? '' : `; ${reuse.accepted ? '' : 'nothing borrowed: '}${reuse.reason}`
  const summary = `${read}, ${newTokens} new${decoded}${hot}${moved}${lent}`
  process.stdout.write('\n')
  process.stderr.write(`${colors.dim(summary)}\n`)
}

function readPrompt({ prompt, promptFile }: GenerateFlags): string {
  if ((prompt === undefined) === (promptFile === undefined)) {
    const got = prompt === undefined ? 'neither' : 'both'
    throw new OptionError({ parameter: 'prompt', expected: 'either --prompt or --prompt-file', got })
  }
  const text = prompt ?? readFileSync(promptFile === '-' ? 0 : (promptFile as string), 'utf8')
  if (text !== '') return text
  throw new OptionError({ parameter: 'prompt', expected: 'at least one character', got: text })
}

interface Outcome {
  readonly text: string
  readonly tokenIds: readonly number[]
  /** end: the model ended the text; length: it ran into --max-tokens or the end of the context. */
  readonly finish: 'end' | 'length'
  readonly promptTokens: number
  readonly newTokens: number
  /** From the prompt's tokens to the first new one. */
  readonly prefillMs: number
  /** Mean over the tokens after the first; NaN if there are none. */
  readonly decodeMsPerToken: number
}

async function run(
  model: LlamaModel,
  sequence: Sequence,
  prompt: Int32Array,
  { maxTokens, temperature, seed }: { maxTokens: number; temperature: number; seed: number },
  write: (text: string) => void,
): Promise<Outcome> {
  const room = Math.min(maxTokens, model.contextTokens - prompt.length)
  const tokenIds: number[] = []
  let text = ''
  let [firstMs, lastMs] = [Number.NaN, Number.NaN]
  const startMs = performance.now()
  for await (const piece of generate(model, sequence, prompt, { maxTokens, sampler: { temperature, seed } })) {
    lastMs = performance.now()
    if (tokenIds.length === 0) firstMs = lastMs
    tokenIds.push(piece.token)
    text += piece.text
    write(piece.text)
  }
  return {
    text,
    tokenIds,
    finish: tokenIds.length < room ? 'end' : 'length',
    promptTokens: prompt.length,
    newTokens: tokenIds.length,
    prefillMs: (tokenIds.length > 0 ? firstMs : performance.now()) - startMs,
    decodeMsPerToken: tokenIds.length > 1 ? (lastMs - firstMs) / (tokenIds.length - 1) : Number.NaN,
  }
}
