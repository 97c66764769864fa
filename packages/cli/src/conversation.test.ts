import { fullCache } from '@kvasir/baselines/full'
import { sinkWindow } from '@kvasir/baselines/window'
import { type ChatTemplate, ContextError, type LlamaModel, loadLlama } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Conversation } from './conversation.ts'

let model: LlamaModel
beforeAll(async () => {
  model = await loadLlama({ model: modelPath, contextTokens: 256 })
})
afterAll(() => model.dispose())

async function reply(conversation: Conversation, text: string, maxTokens: number): Promise<string> {
  let all = ''
  for await (const piece of conversation.say(text, { maxTokens })) all += piece
  return all
}

test('a second turn appends to what is held: no token before it changes', async () => {
  await using conversation = new Conversation(model, { policy: fullCache() })
  const first = await reply(conversation, 'Hi', 32)
  const held = [...conversation.tokens()]
  const second = await reply(conversation, 'Name a colour.', 8)
  const tokens = [...conversation.tokens()]
  expect(tokens.slice(0, held.length)).toEqual(held)
  const said = model.tokenizer!.decode(tokens, { specialTokens: true })
  expect(said).toContain(`Hi<|im_end|>\n<|im_start|>assistant\n${first}<|im_end|>\n<|im_start|>user\nName a colour.`)

  await using again = model.createSequence()
  const logits = await again.prefill(tokens.slice(0, -1))
  expect(second).not.toBe('')
  expect(logits.indexOf(Math.max(...logits))).toBe(tokens.at(-1))
})

test('a reply cut at its limit is held whole in the next turn', async () => {
  await using conversation = new Conversation(model, { policy: sinkWindow({ budgetTokens: 64 }) })
  const first = await reply(conversation, 'Hi', 3)
  await reply(conversation, 'Go on.', 3)
  const said = model.tokenizer!.decode(conversation.tokens(), { specialTokens: true })
  expect(said).toContain(`assistant\n${first}<|im_end|>\n<|im_start|>user\nGo on.<|im_end|>`)
})

test('a template that rewrites its past gives what the whole conversation gives', async () => {
  const forgetful: ChatTemplate = {
    source: null,
    render: (messages) =>
      messages
        .slice(-2)
        .map(({ role, content }) => `${role}: ${content}\n`)
        .join(''),
  }
  const other = new Proxy(model, {
    get: (target, key) => {
      if (key === 'chatTemplate') return forgetful
      const value = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  await using conversation = new Conversation(other, { policy: fullCache() })
  const first = await reply(conversation, 'Hi', 4)
  await reply(conversation, 'Again', 1)
  const prompt = `assistant: ${first}\nuser: Again\n`
  expect(model.tokenizer!.decode(conversation.tokens())).toBe(prompt)
})

test('a reset forgets', async () => {
  await using conversation = new Conversation(model, { policy: fullCache() })
  const first = await reply(conversation, 'Hi', 6)
  await conversation.reset()
  expect(conversation.tokens()).toHaveLength(0)
  expect(await reply(conversation, 'Hi', 6)).toBe(first)
})

test('a message too long is taken back, and the conversation goes on', async () => {
  await using conversation = new Conversation(model, { policy: fullCache() })
  await reply(conversation, 'Hi', 4)
  await expect(reply(conversation, 'word '.repeat(300), 4)).rejects.toThrow(ContextError)
  await reply(conversation, 'Bye', 4)
  const said = model.tokenizer!.decode(conversation.tokens())
  expect(said).toContain('Bye')
  expect(said).not.toContain('word')
})

test('an abort keeps what was said of the reply', async () => {
  await using conversation = new Conversation(model, { policy: fullCache() })
  const controller = new AbortController()
  let partial = ''
  for await (const piece of conversation.say('Hi', { maxTokens: 32, signal: controller.signal })) {
    partial += piece
    if (partial.length > 5) controller.abort()
  }
  await reply(conversation, 'Go on.', 2)
  expect(model.tokenizer!.decode(conversation.tokens())).toContain(`${partial}\nuser\nGo on.`)
})
