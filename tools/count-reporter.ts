import type { Reporter, TestModule } from 'vitest/node'

/**
 * Closes a run with `N passed, N failed, N skipped` alone on the last line. A test file that cannot be loaded and an
 * error outside any test count as failed. `KVASIR_CHECKS` (`passed,failed`) adds the static checks that ran before.
 */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]) {
    const [checksPassed = 0, checksFailed = 0] = (process.env.KVASIR_CHECKS ?? '').split(',').map(Number)
    const states = modules.flatMap((module) => [...module.children.allTests()].map((test) => test.result().state))
    const count = (state: string) => states.filter((other) => other === state).length
    const broken = modules.filter((module) => module.errors().length > 0).length
    const failed = count('failed') + broken + unhandledErrors.length + checksFailed
    const skipped = count('skipped') + count('pending')
    console.log(`${count('passed') + checksPassed} passed, ${failed} failed, ${skipped} skipped`)
  }
}
