import { describe, expect, it } from 'vitest'
import { modelPath, readFixture } from '../test-fixtures/fixtures.ts'
import { type ChatMessage, ChatTemplateError, readChatTemplate } from './chat.ts'
import { openGguf } from './gguf/gguf-file.ts'

function template(source: string) {
  return readChatTemplate({ metadata: new Map([['tokenizer.chat_template', source]]) })
}

const HI: ChatMessage[] = [{ role: 'user', content: 'Hi' }]

describe('readChatTemplate', () => {
  it.skipIf(modelPath === null)('renders as transformers does', async () => {
    await using file = await openGguf(modelPath!)
    const chat = readChatTemplate(file)
    const goldens = readFixture<{ messages: ChatMessage[]; text: string }[]>('chat.json')
    expect(goldens.length).toBe(2)
    for (const { messages, text } of goldens) expect(chat.render(messages)).toBe(text)
    const withoutPrompt = chat.render(goldens[0].messages, { addGenerationPrompt: false })
    expect(`${withoutPrompt}<|im_start|>assistant\n`).toBe(goldens[0].text)
  })

  it('hands the template its special tokens, tools and variables', () => {
    const source = '{{ bos_token }}{% for t in tools %}{{ t.name }} {% endfor %}{{ style }}{{ eos_token }}'
    const metadata = new Map<string, string | number | string[]>([
      ['tokenizer.chat_template', source],
      ['tokenizer.ggml.tokens', ['<s>', '</s>']],
      ['tokenizer.ggml.bos_token_id', 0],
      ['tokenizer.ggml.eos_token_id', 1],
    ])
    const chat = readChatTemplate({ metadata })
    expect(chat.source).toBe(source)
    expect(chat.render(HI, { tools: [{ name: 'add' }], variables: { style: 'calm' } })).toBe('<s>add calm</s>')
    expect(template('{{ bos_token }}{{ tools is defined }}').render(HI)).toBe('false')
  })

  it('a model without a template says so when it is asked to render', () => {
    const chat = readChatTemplate({ metadata: new Map() })
    expect(chat.source).toBeNull()
    expect(() => chat.render(HI)).toThrow(ChatTemplateError)
    expect(() => chat.render(HI)).toThrow('base model')
  })

  it('a broken template, and one that refuses, are typed errors that keep the cause', () => {
    expect(() => template('{% for %}').render(HI)).toThrow(ChatTemplateError)
    const refusing = template("{{ raise_exception('roles must alternate') }}")
    expect(() => refusing.render(HI)).toThrow('roles must alternate')
    expect(() => refusing.render(HI)).toThrow(expect.objectContaining({ cause: expect.any(Error) }))
  })

  it('gives a template no way to JavaScript', () => {
    expect(() => template("{{ messages.constructor('return 1')() }}").render(HI)).toThrow(ChatTemplateError)
    expect(template('{{ messages.__proto__ }}').render(HI)).not.toContain('object')
  })

  it('refuses unknown options', () => {
    expect(() => template('x').render(HI, { addGenerationprompt: false } as object)).toThrow('addGenerationPrompt')
  })
})
