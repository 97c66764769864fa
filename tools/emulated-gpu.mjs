// For tests: builds the emulated GPU library and names it, so that backend cuda is there to be tested like any other.
import { buildEmulated, findCompiler } from './gpu-build.mjs'

/** Global setup of vitest; what it sets the test processes inherit. */
export default async function setup() {
  if (process.env.KVASIR_GPU_LIBRARY) return
  if (!findCompiler()) return console.warn('kvasir: no C++ compiler, backend cuda is not tested')
  const { ok, log, library } = await buildEmulated({ plain: true, libraryOnly: true })
  if (!ok) throw new Error(`the emulated GPU library did not build\n${log}`)
  process.env.KVASIR_GPU_LIBRARY = library
}
