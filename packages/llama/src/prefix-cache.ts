import { encodeScope, pageTokens, type Scope } from '@kvasir/core'
import type { PagePool } from './page-pool.ts'

interface Node {
  readonly parent: Node | null
  /** Key of the page's token ids among the parent's children. */
  readonly key: string
  readonly page: number
  readonly children: Map<string, Node>
  lastUse: number
}

/**
 * Full pages of exactly prefilled prompts, by their tokens: a tree a scope, one level a page. A hit is bit-exact,
 * because prefilled rows do not depend on how a prompt was cut. Pages are shared with sequences by owner count.
 */
export class PrefixCache {
  readonly #pool: PagePool
  readonly #roots = new Map<string, Node>()
  #clock = 0
  #pages = 0

  constructor(pool: PagePool) {
    this.#pool = pool
  }

  get numPages(): number {
    return this.#pages
  }

  /** Pages of the longest cached prefix that leaves at least one token to compute; the caller becomes an owner of each. */
  match(scope: Scope, tokens: ArrayLike<number>): number[] {
    let node = this.#roots.get(scopeKey(scope))
    const pages: number[] = []
    for (let start = 0; node && start + pageTokens < tokens.length; start += pageTokens) {
      node = node.children.get(pageKey(tokens, start))
      if (!node) break
      node.lastUse = ++this.#clock
      this.#pool.share(node.page)
      pages.push(node.page)
    }
    return pages
  }

  /** Remembers the full pages among the first numTokens tokens. */
  publish(scope: Scope, tokens: ArrayLike<number>, numTokens: number, pages: readonly number[]): void {
    let node = this.#root(scopeKey(scope))
    for (let start = 0; start + pageTokens <= numTokens; start += pageTokens) {
      const key = pageKey(tokens, start)
      node = node.children.get(key) ?? this.#add(node, key, pages[start / pageTokens])
      node.lastUse = ++this.#clock
    }
  }

  #root(key: string): Node {
    const root = this.#roots.get(key) ?? newNode(null, key, -1)
    this.#roots.set(key, root)
    return root
  }

  #add(parent: Node, key: string, page: number): Node {
    const node = newNode(parent, key, page)
    this.#pool.share(page)
    this.#pages++
    parent.children.set(key, node)
    return node
  }

  /** Gives back the least recently used leaf that no sequence holds; false when there is none. */
  evictOne(): boolean {
    let oldest: Node | undefined
    for (const root of this.#roots.values()) {
      for (const node of leaves(root)) {
        if (this.#pool.owners(node.page) > 1) continue
        if (!oldest || node.lastUse < oldest.lastUse) oldest = node
      }
    }
    if (!oldest) return false
    oldest.parent?.children.delete(oldest.key)
    this.#pool.release(oldest.page)
    this.#pages--
    return true
  }
}

function newNode(parent: Node | null, key: string, page: number): Node {
  return { parent, key, page, children: new Map(), lastUse: 0 }
}

function* leaves(root: Node): Generator<Node> {
  const stack = [...root.children.values()]
  while (stack.length > 0) {
    const node = stack.pop() as Node
    if (node.children.size === 0) yield node
    else stack.push(...node.children.values())
  }
}

function pageKey(tokens: ArrayLike<number>, start: number): string {
  return Array.prototype.slice.call(tokens, start, start + pageTokens).join(',')
}

function scopeKey(scope: Scope): string {
  return Buffer.from(encodeScope(scope)).toString('base64')
}
