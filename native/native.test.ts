import { expect, test } from 'vitest'
import { listNativeTests, runNativeTest } from '../tools/build-native.mjs'

const programs = listNativeTests()

test.skipIf(programs.length > 0)('C++ test programs need cmake and a compiler', (context) => context.skip())

for (const name of programs) {
  test(`${name} passes`, { timeout: 300_000 }, async () => {
    const { ok, log } = await runNativeTest(name)
    expect(ok, log).toBe(true)
  })
}
