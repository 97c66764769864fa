import { fileURLToPath } from 'node:url'

export const modelPath = fileURLToPath(new URL('./SmolLM2-135M-Instruct.Q4_1.gguf', import.meta.url))

export const modelSha256 = 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53'

export const modelSizeBytes = 98_362_432
