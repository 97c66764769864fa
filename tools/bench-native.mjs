// npm run bench:native -- linear|attention|attention_mass|reuse|selection|tier|lsh [ARGUMENTS of the program]: kernels as ratios to roofs and to OpenBLAS.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { buildNativeBench } from './build-native.mjs'

const names = ['linear', 'attention', 'attention_mass', 'reuse', 'selection', 'tier', 'lsh']
const [name, ...programArguments] = process.argv.slice(2)
if (!names.includes(name)) {
  console.error(`which benchmark? one of ${names.join(', ')}, then its own arguments`)
  process.exit(2)
}

const { ok, log, program } = await buildNativeBench(name)
if (!ok) {
  console.error(
    `${log}\n${name}_bench did not build. It needs cmake, g++ and OpenBLAS: apt-get install libopenblas-dev`,
  )
  process.exit(1)
}
const { status } = spawnSync(program, programArguments, {
  stdio: 'inherit',
  env: { ...process.env, ...widestOpenBlas() },
})
process.exit(status ?? 1)

/** Older OpenBLAS takes its AVX2 kernels on chips that it does not know; a yardstick must not be half as long. */
function widestOpenBlas() {
  const wide = process.platform === 'linux' && / avx512bw /.test(readFileSync('/proc/cpuinfo', 'utf8'))
  return wide ? { OPENBLAS_CORETYPE: 'SkylakeX' } : {}
}
