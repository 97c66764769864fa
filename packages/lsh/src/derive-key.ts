import { createHmac } from 'node:crypto'
import { checkInteger, checkKeys, encodeScope, OptionError, type Scope } from '@kvasir/core'

/** What one key is for. */
export interface KeyUse {
  /** Whose entries it serves. Required. */
  readonly scope: Scope
  /** Name of the structure, such as `planes`; structures of different names share no key. Required. */
  readonly use: string
  /** Another number gives an unrelated key. @default 0 */
  readonly rotation?: number
}

const minSecretBytes = 16

/**
 * The 32-byte key of one structure: HMAC-SHA-256 over scope, use and rotation under `secret` (at least 16 bytes). Without
 * the secret nobody can compute inputs that collide. Who sees answers can still find what an index misses (Kapralov et
 * al. 2024, arXiv 2402.09707), so a miss must cost time alone. Throws OptionError and ScopeError.
 */
export function deriveKey(secret: Uint8Array, options: KeyUse): Uint8Array {
  checkKeys('deriveKey', options, ['scope', 'use', 'rotation'])
  checkSecret(secret)
  if (typeof options.use !== 'string' || options.use === '') {
    throw new OptionError({ parameter: 'use', expected: 'a name', got: options.use })
  }
  const rotation = checkInteger('rotation', options.rotation ?? 0, 0, 2 ** 32 - 1)
  const name = new TextEncoder().encode(options.use)
  const head = new DataView(new ArrayBuffer(8))
  head.setUint32(0, name.byteLength, true)
  head.setUint32(4, rotation, true)
  const mac = createHmac('sha256', secret)
  for (const part of [new Uint8Array(head.buffer), name, encodeScope(options.scope)]) mac.update(part)
  return new Uint8Array(mac.digest())
}

/** Throws an OptionError unless `secret` is long enough to key hashes with. */
export function checkSecret(secret: Uint8Array): void {
  if (!(secret instanceof Uint8Array) || secret.byteLength < minSecretBytes) {
    throw new OptionError({
      parameter: 'secret',
      expected: `a Uint8Array of at least ${minSecretBytes} bytes`,
      got: secret instanceof Uint8Array ? `${secret.byteLength} bytes` : secret,
      remedy: 'Draw one with randomBytes(32) of node:crypto and keep it as long as the index.',
    })
  }
}
