// The emulated GPU does queued work as late as may be. Here as early as may be: then whoever writes what queued work has still
// to read, and would be in time by luck, gets other results.
process.env.KVASIR_GPU_EAGER = '1'

await import('./cuda.test.ts')
await import('./reuse-cuda.test.ts')
