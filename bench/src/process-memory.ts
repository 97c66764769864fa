import { existsSync, readFileSync } from 'node:fs'

/** Linux counts the parent's memory in a child's ru_maxrss, as it was at the fork; VmHWM starts afresh with the program. */
export function peakRssBytes(): number {
  return statusBytes('VmHWM') ?? process.resourceUsage().maxRSS * 1024
}

/** Private writable memory, reserved or in use: what RLIMIT_DATA bounds. null where the system does not tell. */
export function dataBytes(): number | null {
  return statusBytes('VmData') ?? null
}

function statusBytes(name: string): number | undefined {
  const status = '/proc/self/status'
  const kib = existsSync(status)
    ? new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(status, 'utf8'))?.[1]
    : undefined
  return kib === undefined ? undefined : Number(kib) * 1024
}
