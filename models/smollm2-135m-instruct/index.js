import { join } from 'node:path'

export const modelPath = join(import.meta.dirname, 'SmolLM2-135M-Instruct.Q4_1.gguf')

export const modelSha256 = 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53'

export const modelSizeBytes = 98_362_432
