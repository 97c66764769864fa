import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { OptionError } from '@kvasir/core'

/** Bytes of every mark: a GCM tag. */
export const markBytes = 16
export const saltBytes = 32

/** So much is done before other work of the process has its turn: 0.1 ms to mark, 0.7 ms to seal. */
const pieceBytes = 1 << 20

/** A part of a container: its number makes the nonce, so no two parts of a file share one. 0: the head; l + 1: layer l. */
interface Part {
  readonly number: number
  /** What the part is bound to beside its own bytes. */
  readonly binding: Uint8Array
}

/**
 * AES-256-GCM under a key derived for each file (HKDF-SHA-256 with the file's salt). Sealed, where there is a secret: bytes are
 * encrypted. Marked, where there is none: bytes stay as they are and only the tag is taken, GMAC (NIST SP 800-38D), here a
 * checksum of 128 bits that tells damage and, as anybody can compute it, not forgery.
 */
export class ContainerCipher {
  readonly sealed: boolean
  readonly #secret: Uint8Array
  readonly #nameKey: Uint8Array

  constructor(key: Uint8Array | undefined) {
    this.sealed = key !== undefined
    this.#secret = key?.slice() ?? new Uint8Array(32)
    this.#nameKey = this.#derive(new Uint8Array(0), 'kvasir donor name')
  }

  /** 64 hexadecimal digits that say nothing of the id to who lacks the key. */
  nameOf(id: string): string {
    return createHmac('sha256', this.#nameKey).update(id).digest('hex')
  }

  forFile(salt: Uint8Array): FileCipher {
    return new FileCipher(this.#derive(salt, 'kvasir donor file'), this.sealed)
  }

  #derive(salt: Uint8Array, info: string): Uint8Array {
    return new Uint8Array(hkdfSync('sha256', this.#secret, salt, info, 32))
  }
}

export class FileCipher {
  readonly #key: Uint8Array
  readonly #sealed: boolean

  constructor(key: Uint8Array, sealed: boolean) {
    this.#key = key
    this.#sealed = sealed
  }

  /** The bytes to store, `bytes` itself where nothing is encrypted, and their mark. */
  async seal(part: Part, bytes: Uint8Array, signal?: AbortSignal): Promise<{ stored: Uint8Array; mark: Uint8Array }> {
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonceOf(part), { authTagLength: markBytes })
    cipher.setAAD(part.binding)
    const stored = await this.#pass(cipher, bytes, signal)
    cipher.final()
    return { stored, mark: cipher.getAuthTag() }
  }

  /** The bytes that were sealed; null where these or their mark are others. */
  async open(part: Part, stored: Uint8Array, mark: Uint8Array, signal?: AbortSignal): Promise<Uint8Array | null> {
    const cipher = createDecipheriv('aes-256-gcm', this.#key, nonceOf(part), { authTagLength: markBytes })
    cipher.setAuthTag(mark)
    cipher.setAAD(part.binding)
    const bytes = await this.#pass(cipher, stored, signal)
    try {
      cipher.final()
      return bytes
    } catch {
      return null
    }
  }

  async #pass(
    cipher: { setAAD(bytes: Uint8Array): unknown; update(bytes: Uint8Array): Uint8Array },
    bytes: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const turned = this.#sealed ? new Uint8Array(bytes.length) : bytes
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      const piece = bytes.subarray(at, at + pieceBytes)
      if (this.#sealed) turned.set(cipher.update(piece), at)
      else cipher.setAAD(piece)
      if (at + pieceBytes >= bytes.length) continue
      await setImmediate()
      signal?.throwIfAborted()
    }
    return turned
  }
}

function nonceOf({ number }: Part): Uint8Array {
  const nonce = new Uint8Array(12)
  new DataView(nonce.buffer).setUint32(0, number, true)
  return nonce
}

/** Throws an OptionError unless `key` has 32 bytes. */
export function checkKey(key: unknown): Uint8Array | undefined {
  if (key === undefined || (key instanceof Uint8Array && key.length === 32)) return key
  throw new OptionError({ parameter: 'key', expected: 'a Uint8Array of 32 random bytes', got: key })
}
