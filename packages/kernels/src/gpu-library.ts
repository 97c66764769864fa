import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/** The package that carries the library for this machine; installed by who wants a GPU, never by itself. */
const platformPackage = '@kvasir/kernels-cuda-linux-x64'

/** The library of the cuda backend, or why there is none. */
export type GpuLibrary = { readonly path: string } | { readonly path: null; readonly missing: string }

/** @param named the option gpuLibrary, or KVASIR_GPU_LIBRARY */
export function findGpuLibrary(named: string | undefined): GpuLibrary {
  if (named) return { path: named }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return { path: null, missing: `There is no GPU backend for ${process.platform} on ${process.arch}.` }
  }
  const remedy = `Remedy: npm install ${platformPackage}, or name a library in KVASIR_GPU_LIBRARY.`
  try {
    const path = join(
      dirname(createRequire(import.meta.url).resolve(`${platformPackage}/package.json`)),
      'libkvasir_cuda.so',
    )
    if (existsSync(path)) return { path }
    return { path: null, missing: `${path} is not built. ${remedy}` }
  } catch {
    return { path: null, missing: `The package ${platformPackage} is not installed. ${remedy}` }
  }
}
