import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

export const addonPath = fileURLToPath(new URL('./build/Release/kvasir.node', import.meta.url))

export function loadAddon() {
  return createRequire(import.meta.url)(addonPath)
}
