export { type ReportNotes, renderReport } from './render-report.ts'
export { type CaseRow, type GroupRow, parseResults, type Results, readResults } from './results.ts'
export { writeReport } from './write-report.ts'
