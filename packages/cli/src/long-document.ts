import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A question of the long document, and what an answer that found the place contains. */
interface DocumentQuestion {
  readonly question: string
  readonly expects: string
}

/** A document longer than any budget, with questions whose answers each stand in one sentence of it. */
export interface LongDocument {
  readonly text: string
  readonly instruction: string
  readonly questions: readonly DocumentQuestion[]
}

/** The document that comes with the command. The folder is as far from `src/` as from `dist/`. */
export function readLongDocument(): LongDocument {
  const folder = join(import.meta.dirname, '..', 'assets')
  const { document, instruction, questions } = JSON.parse(readFileSync(join(folder, 'questions.json'), 'utf8'))
  return { text: readFileSync(join(folder, document), 'utf8').trim(), instruction, questions }
}

/** The first chapter with its question: what plain TypeScript kernels read in minutes, where all of it would take an hour. */
export function openingOf({ text, instruction, questions }: LongDocument): LongDocument {
  const secondChapter = text.indexOf('\n## ', text.indexOf('\n## ') + 1)
  return { text: `${text.slice(0, secondChapter).trim()}\n\n---`, instruction, questions: questions.slice(0, 1) }
}
