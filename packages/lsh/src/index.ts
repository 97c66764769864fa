export { deriveKey, type KeyUse } from './derive-key.ts'
