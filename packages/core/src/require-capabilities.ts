import type { Capability, EngineProfile } from './engine-profile.ts'
import { CapabilityError } from './errors.ts'

/** For `bind`: throws a CapabilityError that names everything of `needed` which the engine lacks. */
export function requireCapabilities(policy: string, engine: EngineProfile, needed: readonly Capability[]): void {
  const missing = needed.filter((capability) => !engine.capabilities.has(capability))
  if (missing.length === 0) return
  throw new CapabilityError({
    parameter: policy,
    expected: `an engine with ${needed.join(', ')}`,
    got: `${engine.name}, which lacks ${missing.join(', ')}`,
    remedy: 'Run it on an engine whose profile lists them; see docs/write-an-engine.md.',
  })
}
