// Prints how our boundaries and those of sentencex agree, in our own texts and in the plain-text files given (English):
// NODE_OPTIONS=--conditions=@kvasir/source npx tsx src/testing/print-agreement.ts [FILE...]
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { type Agreement, agreementOf, ourStarts, readMarked, theirStarts } from './agreement.ts'
import { disagreementsOf } from './disagreements.ts'
import { ownTexts } from './own-texts.ts'

const numExamples = 3
const figures = ({ f1, precision, recall, numOurs, numTheirs }: Agreement): string =>
  `${[f1, precision, recall].map((figure) => figure.toFixed(4)).join(' | ')} | ${numOurs} | ${numTheirs}`

console.log('| text | F1 | precision | recall | ours | theirs |\n| --- | --- | --- | --- | --- | --- |')
for (const [language, marked] of Object.entries(ownTexts)) {
  const { text, starts } = readMarked(marked)
  const ours = ourStarts(language, text)
  const theirs = theirStarts(language, text)
  console.log(`| ${language} | ${figures(agreementOf(ours, theirs))} |`)
  console.log(`| ${language}, ours beside the bars | ${figures(agreementOf(ours, starts))} |`)
  console.log(`| ${language}, theirs beside the bars | ${figures(agreementOf(theirs, starts))} |`)
}
const texts = process.argv.slice(2).map((path) => ({
  name: basename(path),
  text: readFileSync(path, 'utf8').replaceAll('\r\n', '\n'),
}))
for (const { name, text } of texts) {
  const theirs = theirStarts('en', text)
  for (const maxQuotedUnits of [0, 120, 240, 480, 4096]) {
    const ours = ourStarts('en', text, { maxQuotedUnits })
    console.log(`| ${name}, maxQuotedUnits ${maxQuotedUnits} | ${figures(agreementOf(ours, theirs))} |`)
  }
}
for (const { name, text } of texts) {
  console.log(`\n${name}`)
  for (const { side, name: kind, offsets } of disagreementsOf(
    text,
    agreementOf(ourStarts('en', text), theirStarts('en', text)),
  )) {
    console.log(`${String(offsets.length).padStart(5)} ${side} alone: ${kind}`)
    for (const offset of offsets.slice(0, numExamples))
      console.log(
        `        ${JSON.stringify(`${text.slice(Math.max(0, offset - 50), offset)}⏐${text.slice(offset, offset + 40)}`)}`,
      )
  }
}
