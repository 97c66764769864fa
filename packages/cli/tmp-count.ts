import { readFileSync } from 'node:fs'
import { loadLlama } from '@kvasir/llama'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
const model = await loadLlama({ model: modelPath, contextTokens: 8192 })
const text = readFileSync('assets/long-document.md', 'utf8')
console.log('tokens', model.tokenizer!.encode(text).length)
console.log(JSON.stringify(model.chatTemplate.render([{ role: 'user', content: 'X' }])))
await model.dispose()
