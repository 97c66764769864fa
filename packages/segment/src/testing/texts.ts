import fc from 'fast-check'

/** Pieces of text that are hard to cut, for property tests: every rule of the scanner has one that sets it off. */
const fragments = [
  'The ship left at dawn. ', 'Nobody waved! ', 'Was it? ', 'he said. ', 'Dr. ', 'No. ', '5 ', 'e.g. ', 'U.S. ', 'J. ', 'The ', 'I. ', 'etc. ',
  'on 3. Oktober ', '3.14 ', '... ', '. . . ', '…', '"Run!" I cried. ', '(so.) ', '(', ') ', '“', '” ', '‘', '’ ', '„', '« ', ' »', '」', '"So. ', '“Yes. ', '（', '[12] ', '.', '!', '?', '"', '”', "'", '--', '— ', 'word', 'Word ',
  '。', '「早く。」と', '今天！', '１．２', 'نعم؟ ', '۔', 'घर। ', '\n', '\n\n', '\r\n', ' ', '    ', '\t', '\u00a0', '- item\n', '* ', '1. first\n', '12. ',
  'a) b\n', '# Head\n', '## ', '| a | b |\n', 'x | y | z\n', '```\n', '```js\n', '~~~', 'foo(a,\n', 'const a = 1;\n', 'import os\n', 'def f(x):\n', '}\n',
  'Ida: hello\n', 'Note: ', 'user: hi\n', '<|im_start|>user\n', '<|im_end|>', '<|start_header_id|>user<|end_header_id|>', '[INST] ', '[/INST] ', '用户：好\n', 'a,b,c\n', 'Ida,7,"U, l"\n', '1\tSo. No.\t2\n', 'a | b\n', 'return 3;\n', '# note\n', '  done\n', 'key: v\n', '=====\n', 'xii. ', '[12:30] go\n', '---\n', '***', '====\n', '😀', '\ud83d', 'é', 'Šaty ', 'Title\n',
  'A rather long line of words that goes on and on so that the line above may be a title\n', 'https://a.example/b.c?d=E. ', 'x@y.example ',
] // biome-ignore format: a plain list
const anyText = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(...fragments) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 6 }) },
)
const longRun = fc
  .tuple(fc.constantFrom(' ', '\n', '.', '-', 'a', '"', '#', ' \n'), fc.integer({ min: 60, max: 700 }))
  .map(([unit, count]) => unit.repeat(count))

/** Texts of mixed languages and layouts; one in ten has a run of one character that is longer than any rule reads. */
export const mixedText = fc
  .tuple(
    fc.array(anyText, { maxLength: 60 }),
    fc.oneof({ weight: 9, arbitrary: fc.constant('') }, { weight: 1, arbitrary: longRun }),
    fc.array(anyText, { maxLength: 20 }),
  )
  .map(([before, run, after]) => before.join('') + run + after.join(''))

/** `text` cut into pieces of 1 to 12 UTF-16 units, some of them empty. */
const piecesOf = (text: string): fc.Arbitrary<string[]> =>
  fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 40 }).map((lengths) => {
    if (!lengths.some((length) => length > 0)) lengths.push(1)
    const pieces: string[] = []
    for (let start = 0, index = 0; start < text.length; index++) {
      const length = lengths[index % lengths.length]
      pieces.push(text.slice(start, start + length))
      start += length
    }
    return pieces
  })

/** A text with one way to cut it. */
export const textInPieces = mixedText.chain((text) => fc.tuple(fc.constant(text), piecesOf(text)))
