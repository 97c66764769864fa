import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const folders = [
  ...['packages', 'models', 'examples'].flatMap((parent) => readdirSync(parent).map((name) => `${parent}/${name}`)),
  'bench',
  'native',
  'tools',
].filter((folder) => existsSync(`${folder}/package.json`))

// Packages whose tests run on every backend, the GPU's in emulation too.
const emulatedGpu = fileURLToPath(new URL('./tools/emulated-gpu.mjs', import.meta.url))
const onAllBackends = ['packages/kernels', 'packages/llama', 'packages/semshare-kv', 'packages/eval']

// Tests run from sources: this condition leads from one workspace package to the src/ of another.
const conditions = ['@kvasir/source', 'module', 'node', 'development|production']

export default defineConfig({
  test: {
    reporters: ['verbose', './tools/count-reporter.ts'],
    projects: folders.map((folder) => ({
      resolve: { conditions },
      ssr: { resolve: { conditions } },
      test: {
        name: folder.split('/').pop()!,
        root: folder,
        globalSetup: onAllBackends.includes(folder) ? [emulatedGpu] : [],
        include: ['**/*.test.ts'],
        testTimeout: 30_000,
        hookTimeout: 60_000,
        exclude: ['**/node_modules/**', '**/dist/**', '**/build/**'],
      },
    })),
  },
})
