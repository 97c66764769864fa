import type { LanguageData } from './language-data.ts'

/** Hindi ends sentences with a danda; a period is mostly that of a title. */
export const hindi: LanguageData = {
  never: 'डॉ प्रो श्री सुश्री श्रीमती पं कु मि',
  beforeNumber: 'रु पृ सं क्र',
  maybe: '',
  openers: '',
  afterOrdinal: '',
  speech: '',
}
