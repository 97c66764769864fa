import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ReportNotes, renderReport } from './render-report.ts'
import { readResults } from './results.ts'

/**
 * Writes `report.html` into a results folder and gives its path. A reader sees the old page or the new one. Throws
 * KvasirError if the folder holds no results.
 */
export function writeReport(folder: string, notes: ReportNotes = {}): string {
  const page = renderReport(readResults(folder), notes)
  const path = join(folder, 'report.html')
  const draft = `${path}.${process.pid}.tmp`
  writeFileSync(draft, page)
  renameSync(draft, path)
  return path
}
