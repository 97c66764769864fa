import { DisposedError, OptionError } from '@kvasir/core'
import type { Kernels } from './kernels.ts'

/** Kernels that know what they have made, so that disposing them frees all of it. */
export interface ResourceOwner extends Kernels {
  readonly resources: ResourceRegistry
}

/**
 * Something that one Kernels owns and that runs use. Disposing it while a run uses it frees it when that run ends;
 * from the call on it is refused everywhere.
 */
export abstract class Resource {
  readonly owner: ResourceOwner
  #uses = 0
  #disposed = false

  constructor(owner: ResourceOwner) {
    this.owner = owner
  }

  get disposed(): boolean {
    return this.#disposed
  }

  get inUse(): boolean {
    return this.#uses > 0
  }

  /** Throws a DisposedError once disposed. */
  assertAlive(parameter: string): void {
    if (!this.#disposed) return
    throw new DisposedError({
      parameter,
      expected: 'one that is not disposed',
      got: `a disposed ${this.constructor.name}`,
    })
  }

  hold(): void {
    this.#uses++
  }

  letGo(): void {
    this.#uses--
    if (this.#disposed && this.#uses === 0) this.free()
  }

  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    this.owner.resources.remove(this)
    if (this.#uses === 0) this.free()
  }

  /** Gives the memory back; called once. */
  protected abstract free(): void
}

/** Does the work with all of them held; lets go when it has ended, however it ends. */
export async function holding<T>(resources: readonly Resource[], work: () => Promise<T>): Promise<T> {
  for (const resource of resources) resource.hold()
  try {
    return await work()
  } finally {
    for (const resource of resources) resource.letGo()
  }
}

/** The living resources of one Kernels, held weakly: a forgotten one is still collected. */
export class ResourceRegistry {
  readonly #living = new Set<WeakRef<Resource>>()
  readonly #entries = new WeakMap<Resource, WeakRef<Resource>>()
  readonly #collected = new FinalizationRegistry<WeakRef<Resource>>((entry) => this.#living.delete(entry))

  /** Returns the resource. Called once it is complete: a half-made one has nothing to free. */
  keep<T extends Resource>(resource: T): T {
    const entry = new WeakRef(resource)
    this.#living.add(entry)
    this.#entries.set(resource, entry)
    this.#collected.register(resource, entry)
    return resource
  }

  remove(resource: Resource): void {
    const entry = this.#entries.get(resource)
    if (entry !== undefined) this.#living.delete(entry)
  }

  disposeAll(): void {
    for (const entry of this.#living) entry.deref()?.dispose()
  }
}

type ResourceClass<T extends Resource> = abstract new (...args: never[]) => T

/** `value` if it is a living resource of this class that `owner` made; else throws. */
export function ownResource<T extends Resource>(
  parameter: string,
  value: unknown,
  type: ResourceClass<T>,
  owner: ResourceOwner,
): T {
  if (value instanceof type && value.owner === owner) {
    value.assertAlive(parameter)
    return value
  }
  throw new OptionError({
    parameter,
    expected: `a ${type.name} made by these Kernels`,
    got: value,
    ...(value instanceof type
      ? { remedy: 'It was made by other Kernels: create everything with the same object.' }
      : {}),
  })
}
