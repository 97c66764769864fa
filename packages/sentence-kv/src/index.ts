export type { SentenceKvOptions } from './options.ts'
export { sentenceKv } from './sentence-kv.ts'
