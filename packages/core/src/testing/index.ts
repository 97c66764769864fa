export { assertClose, assertSameBits, nmse, type Tolerance } from './close.ts'
export { type DonorStoreSuiteOptions, type DonorStoreUnderTest, donorStoreSuite } from './donor-store-suite.ts'
export { type EngineSuiteOptions, engineSuite } from './engine-suite.ts'
export type { EngineUnderTest, SequenceTestOptions, SequenceUnderTest } from './engine-under-test.ts'
export { memoryDonors } from './memory-donors.ts'
export { type PolicySuiteOptions, policySuite } from './policy-suite.ts'
export { type PolicyWatcher, probePolicy, watchPolicy } from './probe-policy.ts'
export { type Random, seededRandom } from './random.ts'
export type { SuiteRunner } from './suite-run.ts'
export { type TestDonorOptions, testDonor } from './test-donor.ts'
export {
  type ToyEngine,
  type ToyEngineOptions,
  type ToyGenerateOptions,
  type ToyGeneration,
  toyEngine,
  toyTokens,
} from './toy-engine.ts'
export type { ToyReport, ToySequence } from './toy-sequence.ts'
