import { defineConfig } from 'tsup'

/** The one build shape of every package: ESM with types, one file an entry plus shared chunks, dependencies left outside. */
export function library(entry: string[]) {
  return defineConfig({
    entry,
    format: ['esm'],
    platform: 'node',
    target: 'node20',
    dts: true,
    sourcemap: true,
    clean: true,
    silent: true,
  })
}
