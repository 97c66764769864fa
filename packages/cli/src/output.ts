import { SingleBar } from 'cli-progress'
import Table from 'cli-table3'
import colors from 'picocolors'

/** A line for the person at the terminal; never on stdout, which belongs to results. */
export function note(message: string): void {
  process.stderr.write(`kvasir: ${message}\n`)
}

export interface Progress {
  /** Moves to `value` of the total. */
  update(value: number, label: string): void
  stop(): void
}

/** A progress bar on stderr if that is a terminal, else nothing at all. */
export function startProgress(total: number, label: string): Progress {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} }
  const bar = new SingleBar({
    format: '{label} {bar} {percentage}% | {duration_formatted} gone, {eta_formatted} to go',
    stream: process.stderr,
    clearOnComplete: true,
    // Ctrl-C ends the process at once: nobody would bring the cursor back.
    hideCursor: false,
    etaBuffer: 50,
  })
  bar.start(total, 0, { label })
  return { update: (value, text) => bar.update(value, { label: text }), stop: () => bar.stop() }
}

/** A table of plain lines: first column left, the others right. */
export function tableText(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    head: head.map((text) => colors.bold(text)),
    colAligns: head.map((_, column) => (column === 0 ? 'left' : 'right')),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    chars: {
      top: '',
      'top-mid': '',
      'top-left': '',
      'top-right': '',
      bottom: '',
      'bottom-mid': '',
      'bottom-left': '',
      'bottom-right': '',
      left: '',
      'left-mid': '',
      mid: '',
      'mid-mid': '',
      right: '',
      'right-mid': '',
      middle: '   ',
    },
  })
  table.push(...rows.map((row) => [...row]))
  return table.toString()
}

/** One JSON object on stdout. Numbers that are none (NaN) become null. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

export function formatBytes(bytes: number): string {
  if (bytes < 1e3) return `${Math.round(bytes)} B`
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} KB` : `${(bytes / 1e6).toFixed(1)} MB`
}
