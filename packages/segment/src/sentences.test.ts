import { OptionError } from '@kvasir/core'
import { describe, expect, it } from 'vitest'
import type { SentenceKind } from './sentence.ts'
import { sentences } from './sentences.ts'

const bar = '⏐'

/** `marked` has a bar at each boundary: checks that the text without the bars is cut there and nowhere else. */
function expectCuts(marked: string): void {
  const text = marked.replaceAll(bar, '')
  const cut = sentences(text).map(({ start, end }) => text.slice(start, end))
  expect(cut.join(bar)).toBe(marked)
}

function kindsOf(text: string): [SentenceKind, string][] {
  return sentences(text).map(({ start, end, kind }) => [kind, text.slice(start, end)])
}

const cases: Record<string, readonly string[]> = {
  'plain prose': [
    'The ship left at dawn. ⏐Nobody waved. ⏐Was it cold? ⏐It was!',
    'One only',
    '  Leading space stays. ⏐Trailing too.  ',
    'lower case after a stop. is no new sentence. ⏐But this is.',
  ],
  'English abbreviations': [
    'Dr. Vance met Mr. and Mrs. Oduya at St. Mary. ⏐They talked.',
    'Bring rope, nails, etc. and a lamp. ⏐Then go.',
    'Bring rope, nails, etc. ⏐The lamp is here.',
    'He works for Halden Inc. in Oslo. ⏐She works for Brandt Ltd. ⏐They are friends.',
    'See Fig. 3 and Eq. 12 on p. 44 of Vol. II there. ⏐Read it.',
    'We need flour, e.g. rye, i.e. the dark kind. ⏐Buy some.',
    'No. 5 is empty. ⏐Is it yours? ⏐No. ⏐It is not. ⏐No. ⏐I asked.',
    'GEN. HAUSER SPOKE. ⏐THE CROWD WAS SILENT.',
  ],
  'initials and acronyms': [
    'The book by J. R. R. Tolkien is long. ⏐Read it.',
    'He moved to the U.S. Army base. ⏐She stayed in the U.S. ⏐They wrote letters.',
    'It opens at 9 a.m. on Mondays. ⏐We close at 5 p.m. ⏐Please come early.',
    'Take vitamin C. ⏐The doctor said so.',
    'She and I. ⏐He and Anna.',
    'CAPT.E.Y. Olsen printed it. ⏐Mlle. Arno bound it.',
    'Compare Inferno, xxxii. 150 there. ⏐Then read on.',
    'She holds a Ph.D. in physics. ⏐He does not.',
  ],
  'numbers, versions and addresses': [
    'Pi is 3.14159 or so. ⏐It never ends.',
    'Version 2.10.3 fixed it. ⏐Version 2.11 broke it.',
    'Visit https://example.org/a.html?x=1.2&y=Q now. ⏐Or write to jo.doe@mail.example.com. ⏐We answer.',
    'It happened in 1864. ⏐Nobody knew.',
    'The file main.cpp is missing. ⏐Look in src/lib.rs first.',
    'It costs $4.50. ⏐$3 would be fair.',
  ],
  ellipsis: [
    'Well ... perhaps not. ⏐Or so he said.',
    'He waited... ⏐Then he left.',
    'He waited… and waited.',
    'I went . . . and came back. ⏐Twice.',
  ],
  'quotes and brackets': [
    '"Stop!" she cried. ⏐He stopped.',
    '“Are you there?” asked Tom. ⏐Nobody was.',
    'He said: "I am here." ⏐Then he left.',
    'It rained (as it does.) ⏐We stayed. ⏐(Nobody minded.) ⏐The sun came.',
    '"Run!" I shouted. ⏐We ran.',
    'The **last** word is **bold.** ⏐Then comes more.',
    'This was shown before.[12] ⏐Others disagree.[3]',
    "'It is late.' ⏐'Not at all.'",
    'The paper is torn.⏐--Ed.',
  ],
  German: [
    'Wir treffen Hrn. Dr. Weber am 3. Oktober um 9 Uhr. ⏐Er bringt z.B. Brot mit. ⏐Das reicht.',
    'Siehe Abb. 4 bzw. Kap. 2 im Buch. ⏐Dort steht es.',
    'Es war im 19. Jahrhundert. ⏐Niemand wusste es.',
    'Die Fa. Huber sitzt in der Goethestr. 5 in Ulm. ⏐Dr. med. Weiß auch.',
    'Äpfel, Birnen usw. ⏐Alle waren weg.',
  ],
  French: [
    'M. Durand et Mme Petit arrivent. ⏐Ils sont en retard. ⏐Pourquoi ?',
    'Voir p. 12 et art. 5 du code. ⏐C’est clair.',
    '«\u00a0Venez\u00a0!\u00a0» dit-elle. ⏐Il vint.',
  ],
  Spanish: [
    'El Sr. Ruiz y la Sra. Gil llegaron. ⏐¿Quién más? ⏐¡Nadie!',
    '—¿Vienes? —preguntó Ana—. ⏐Es tarde. ⏐—No puedo.',
    'Vive en EE. UU. desde hace años. ⏐No piensa volver.',
    'Véase la pág. 7 del libro. ⏐Es breve.',
  ],
  'Chinese and Japanese': [
    '今天下雨。⏐我们在家！⏐你呢？',
    '「早く来て。遅いよ！」と母が言った。⏐外は雨だ。',
    '他说：“好。”⏐然后走了。',
    '圆周率是３．１４左右。⏐对吗?⏐对。',
  ],
  'Arabic, Urdu and Hindi': [
    'هل وصلت؟ ⏐نعم وصلت. ⏐شكرا.',
    'یہ کتاب ہے۔ ⏐وہ قلم ہے۔',
    'यह घर है। ⏐वह पेड़ है। ⏐अच्छा।',
    'डॉ. शर्मा आए। ⏐वे बैठे।',
    'यह रु. 50 का है। ⏐ठीक।',
    'سأل د. أحمد: متى؟ ⏐قال: غدا. ⏐ثم مشى.',
  ],
  'paragraphs and wrapped lines': [
    'A line that is wrapped\nin the middle goes on. ⏐The next\none too.',
    'No stop here\n\n⏐but a blank line always cuts',
    'First.\n⏐Second on its own line.\n\n\n⏐Third after a wide gap.',
    'Windows ends\r\nlines so. ⏐Fine.\r\n\r\n⏐Next.',
    'An indented line\n\n⏐    keeps its indentation.',
    'Mr.\nBrown came in. ⏐He sat.',
    'In that year the treaty was signed again with\nItaly: the rest refused.',
    'They met in the year\n12. ⏐That was all.',
  ],
  titles: [
    'Methods\n⏐We measured the height of every tree in the park and wrote it down.',
    '# The garden\n⏐Roses grow there. ⏐Nothing else.',
    'It ended there.\n⏐Results and outlook\n⏐All trees had grown by at least two metres in the wet years of the study.',
  ],
  lists: [
    'We need:\n⏐- salt and pepper\n⏐- oil\n  from Crete\n⏐- bread',
    '1. Open the box.\n⏐2. Take out the lamp. ⏐Be careful.\n⏐3. Close it.',
    'Steps:\n⏐a) wash\n⏐b) dry',
    '• one\n⏐• two',
  ],
  tables: [
    '| a. B | c |\n⏐|---|---|\n⏐| 1 | 2 |\n⏐Text follows.',
    'name | age | town\n⏐Ida | 7 | Ulm\n⏐Kurt | 9 | Bonn',
  ],
  code: [
    'Run this:\n⏐```js\nconst a = 1\n⏐foo(a,\n  2)\n\n⏐bar()\n```\n⏐Done. ⏐Good.',
    'import os\n⏐import sys\n\n⏐x = os.getcwd()',
    'int main() {\n⏐  return f(1,\n    2);\n⏐}\n',
    'Use this. ⏐Then:\n⏐x = 3\n⏐y = 4\n',
  ],
  transcripts: [
    'Ida: are you there\n⏐Kurt: yes. ⏐Wait!\n⏐Ida: ok',
    '<|im_start|>user\nHi there.\n⏐<|im_start|>assistant\nHello!',
    '[12:30] ready when you are\n⏐[12:31] go',
  ],
}

describe('sentences', () => {
  for (const [feature, texts] of Object.entries(cases)) {
    it.each(texts)(`cuts ${feature}: %s`, (marked) => expectCuts(marked))
  }

  it('has none in an empty text and one in a blank text', () => {
    expect(sentences('')).toEqual([])
    expect(sentences(' \n \n')).toEqual([{ start: 0, end: 4, kind: 'prose' }])
  })

  it('names what each sentence is', () => {
    const text =
      '# Plan\nGo. Stay.\n\n- one\n- two\n\n| a | b |\n\n```\nx = 1\n```\n\nShort title\n\nIda: hello\nKurt: hi'
    expect(kindsOf(text).map(([kind]) => kind)).toEqual([
      'heading',
      'prose',
      'prose',
      'list',
      'list',
      'table',
      'code',
      'heading',
      'chat',
      'chat',
    ] satisfies SentenceKind[])
  })

  it('sees code without a fence', () => {
    expect(kindsOf('for (const a of b) {\n  run(a);\n}\n\nThat was it.').map(([kind]) => kind)).toEqual([
      'code',
      'code',
      'code',
      'prose',
    ])
  })

  it('does not take verse or wrapped prose for code or titles', () => {
    const verse = 'Over the hill and far,\n  Under a single star,\n    The river (so they say) runs;\nSleep now.'
    expect(kindsOf(verse)).toEqual([['prose', verse]])
  })

  it('knows only the abbreviations of the languages asked for', () => {
    const text = 'Er bringt ggf. Brot mit.'
    const numOf = (languages: ('en' | 'de')[]) => sentences(text, { languages }).length
    expect(numOf(['de'])).toBe(1)
    expect(numOf(['en'])).toBe(2)
  })

  it('refuses unknown options, languages and texts that are no strings', () => {
    expect(() => sentences('a', { language: ['en'] } as never)).toThrow(OptionError)
    expect(() => sentences('a', { language: ['en'] } as never)).toThrow(/Did you mean languages\?/)
    expect(() => sentences('a', { languages: ['xx' as 'en'] })).toThrow(OptionError)
    expect(() => sentences('a', { languages: 'en' as never })).toThrow(OptionError)
    expect(() => sentences(5 as never)).toThrow(OptionError)
  })
})
