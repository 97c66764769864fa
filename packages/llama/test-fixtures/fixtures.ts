import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const repository = join(here, '../../..')

/** Absolute path of a file in this folder. */
export function fixturePath(name: string): string {
  return join(here, name)
}

/** A JSON file of this folder. */
export function readFixture<T>(name: string): T {
  return JSON.parse(readFileSync(fixturePath(name), 'utf8')) as T
}

/** The bundled model, null where it was not checked out. */
export const modelPath = present(join(repository, 'models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf'))

/** A file of the evaluation data (`KVASIR_DATA`), null where it is absent. */
export function dataPath(name: string): string | null {
  return present(join(process.env.KVASIR_DATA ?? join(repository, '../shared/data/open'), name))
}

/** A file of the reference outputs (`KVASIR_GOLDENS`), null where it is absent. */
export function goldenPath(name: string): string | null {
  return present(join(process.env.KVASIR_GOLDENS ?? join(repository, '../shared/goldens'), name))
}

function present(path: string): string | null {
  return existsSync(path) ? path : null
}
