import { createCipheriv } from 'node:crypto'

/**
 * [numHashes][dim] normal variables (Box and Muller 1958) out of AES-256 in counter mode under a 32-byte key. The planes of
 * fewer hashes are the first ones of more.
 */
export function drawPlanes(key: Uint8Array, numHashes: number, dim: number): Float32Array {
  const pairs = Math.ceil(dim / 2)
  const words = drawWords(key, 'planes', numHashes * pairs * 2)
  const planes = new Float32Array(numHashes * dim)
  for (let h = 0; h < numHashes; h++) {
    for (let pair = 0; pair < pairs; pair++) {
      const at = 2 * (h * pairs + pair)
      const radius = Math.sqrt(-2 * Math.log(unitOf(words[at] as number)))
      const angle = 2 * Math.PI * unitOf(words[at + 1] as number)
      planes[h * dim + 2 * pair] = radius * Math.cos(angle)
      if (2 * pair + 1 < dim) planes[h * dim + 2 * pair + 1] = radius * Math.sin(angle)
    }
  }
  return planes
}

/** [numHashes] uniform in (0, width), from the same key. */
export function drawOffsets(key: Uint8Array, numHashes: number, width: number): Float32Array {
  return Float32Array.from(drawWords(key, 'offsets', numHashes), (word) => width * unitOf(word))
}

/** In (0, 1): never 0, which has no logarithm. */
function unitOf(word: number): number {
  return (word + 0.5) / 2 ** 32
}

/** The first byte of the counter keeps the streams of one key apart. */
function drawWords(key: Uint8Array, stream: 'planes' | 'offsets', count: number): Uint32Array {
  const counter = new Uint8Array(16)
  counter[0] = stream === 'planes' ? 0 : 1
  const bytes = createCipheriv('aes-256-ctr', key, counter).update(new Uint8Array(4 * count))
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Uint32Array.from({ length: count }, (_, i) => view.getUint32(4 * i, true))
}
