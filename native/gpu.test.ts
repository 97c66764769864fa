import { expect, test } from 'vitest'
import { buildEmulated, findCompiler, runProgram } from '../tools/gpu-build.mjs'

test('GPU kernels pass their suite in emulation', { timeout: 600_000 }, async (context) => {
  if (!findCompiler()) context.skip('no C++ compiler')
  const build = await buildEmulated()
  expect(build.ok, build.log).toBe(true)
  const faults = await runProgram(build.contextTest, [])
  expect(faults.ok, faults.log).toBe(true)
  const suite = await runProgram(build.suite, [build.library, '--quick'])
  expect(suite.ok, suite.log).toBe(true)
  expect(suite.log).toMatch(/\n[1-9]\d* passed, 0 failed\n$/)
})
