import { describe, expect, it } from 'vitest'
import type { SentenceKind } from './sentence.ts'
import { sentences } from './sentences.ts'

const bar = '⏐'

interface Case {
  readonly why: string
  /** The text with a bar at each boundary. */
  readonly marked: string
  /** The kind of each sentence, if not all are of the group's. */
  readonly kinds?: readonly SentenceKind[]
}

function check(kind: SentenceKind, { marked, kinds }: Case): void {
  const text = marked.replaceAll(bar, '')
  const cut = sentences(text)
  expect(cut.map(({ start, end }) => text.slice(start, end)).join(bar)).toBe(marked)
  expect(cut.map((sentence) => sentence.kind)).toEqual(kinds ?? cut.map(() => kind))
}

describe('program text is cut into statements', () => {
  it.each<Case>([
    {
      why: 'Python: a bracket that is open goes on, a comment and a docstring are lines of it',
      marked:
        'def mean(values, weights):\n⏐    """A weighted mean. No checks."""\n⏐    # Slow. Clear.\n⏐    total = sum(\n        v * w\n' +
        '        for v, w in zip(values, weights)\n    )\n⏐    return total / len(values)\n\n⏐class Shape:\n⏐    pass\n',
    },
    {
      why: 'TypeScript: a block opens, its statements, the block closes',
      marked:
        'import { readFile } from "node:fs"\n⏐const greet = (name) => {\n⏐  console.log("Hi. Bye.")\n⏐}\n\n⏐export function run() {\n⏐  return greet(\n    "Ida",\n  )\n⏐}',
    },
    {
      why: 'C: preprocessor lines, a comment, one line a statement',
      marked:
        '#include <stdio.h>\n⏐#define LIMIT 10\n\n⏐// Adds. May wrap.\n⏐static int add(int a, int b) {\n⏐  int sum = a + b;\n⏐  if (sum > LIMIT) {\n⏐    return 10;\n⏐  }\n⏐  return sum;\n⏐}',
    },
    {
      why: 'Rust: macros and match arms',
      marked:
        'fn main() {\n⏐    let names = vec!["a", "b"];\n⏐    match names.len() {\n⏐        0 => println!("none"),\n⏐        _ => println!("{}", names[0]),\n⏐    }\n⏐}',
    },
    {
      why: 'Go: a package line, a quoted import, tabs',
      marked: 'package main\n\n⏐import "fmt"\n\n⏐func main() {\n⏐\ttotal := 0\n⏐\tfmt.Println(total)\n⏐}',
    },
    {
      why: 'Java: a period between names ends nothing',
      marked:
        'public class Main {\n⏐    public static void main(String[] args) {\n⏐        System.out.println("Hi. There.");\n⏐    }\n⏐}',
    },
    {
      why: 'SQL: clauses by line',
      marked:
        'SELECT name, age\n⏐FROM people\n⏐WHERE age > 30\n⏐ORDER BY name;\n⏐INSERT INTO people (name) VALUES (1);',
    },
    {
      why: 'a shell script',
      marked: '#!/bin/sh\n⏐set -e\n⏐cd "$HOME"\n⏐for f in *.txt; do\n⏐  echo "$f"\n⏐done',
    },
    { why: 'JSON by line', marked: '{\n⏐  "name": "demo",\n⏐  "items": [1, 2, 3]\n⏐}' },
    { why: 'markup by line', marked: '<div class="box">\n⏐  <p>Hello. Nice day.</p>\n⏐</div>' },
    {
      why: 'a fence: nothing inside of it is prose, and its marks stay with the first and the last line',
      marked: '```text\nA word. Another\n⏐# no heading\n⏐- no item\n```\n',
    },
    { why: 'a fence that never closes', marked: '~~~\na. B\n⏐c. D' },
    {
      why: 'prose around it stays prose',
      marked: 'Call it so:\n⏐x = f(3)\n⏐y = g(x)\n\n⏐Then look at y. ⏐It is 9.',
      kinds: ['prose', 'code', 'code', 'prose', 'prose'],
    },
  ])('$why', (one) => check('code', one))
})

describe('Markdown is cut by its blocks', () => {
  it.each<Case>([
    {
      why: 'headings stand alone, with marks or underlined',
      marked: '# One. Two\n⏐Text. ⏐More.\n\n⏐## Next\n\n⏐Outlook\n=======\n⏐It rains.',
      kinds: ['heading', 'prose', 'prose', 'heading', 'heading', 'prose'],
    },
    {
      why: 'items, nested ones too, and their sentences; a wrapped line belongs to its item',
      marked: 'We need:\n⏐* salt. ⏐Much of it.\n⏐* oil\n  from Crete\n⏐  1. the green one\n⏐  2. the dark one\n\n⏐Go.',
      kinds: ['prose', 'list', 'list', 'list', 'list', 'list', 'prose'],
    },
    {
      why: 'a block quotation, marks of emphasis and links in a sentence',
      marked: '> So it is. ⏐It _was_ **so.** ⏐See [the page](https://a.example/b.html).\n\n⏐Done.',
    },
    {
      why: 'a rule ends a paragraph',
      marked: 'It ended.\n\n⏐---\n\n⏐It began.',
    },
    {
      why: 'a table by rows, with abbreviations and sentences in its cells',
      marked: '| Name | Role |\n⏐| :--- | ---: |\n⏐| Dr. Ida Q. | Lead. Also tests. |\n\n⏐After it.',
      kinds: ['table', 'table', 'table', 'prose'],
    },
  ])('$why', (one) => check('prose', one))
})

describe('tables without Markdown are cut by rows', () => {
  it.each<Case>([
    { why: 'bars', marked: 'name | age | town\n⏐Ida | 7 | Ulm\n⏐Kurt | 9 | Bonn' },
    { why: 'tabs, with sentences in a cell', marked: 'id\ttext\tscore\n⏐1\tIt rained. We stayed.\t0.5\n⏐2\tNo.\t0.7' },
    { why: 'commas, with quoted cells', marked: 'name,age,town\n⏐Ida,7,Ulm\n⏐"Kurt, Jr.",9,"St. Gallen"' },
    { why: 'semicolons', marked: 'Jahr;Ort;Preis\n⏐1999;Ulm;3,50\n⏐2001;Bonn;4,20' },
    {
      why: 'below a colon, and text after them',
      marked: 'These are the figures:\n⏐a,b,c\n⏐1,2,3\n\n⏐That is all.',
      kinds: ['prose', 'table', 'table', 'prose'],
    },
  ])('$why', (one) => check('table', one))

  it('the commas of numbers, lists and formulas in prose are none', () => {
    const text =
      'They paid 12,000,000 crowns for red, green and blue glass\nand said: let x,y,z be points\nof the wall. It held.'
    expect(sentences(text).map(({ kind }) => kind)).toEqual(['prose', 'prose'])
  })
})

describe('transcripts are cut by turns, and turns by sentences', () => {
  it.each<Case>([
    {
      why: 'role lines',
      marked: 'User: Can you help? ⏐I am lost.\n⏐Assistant: Of course. ⏐Where are you?\n⏐User: In Ulm.',
    },
    { why: 'roles in small letters', marked: 'user: hi\n⏐assistant: Hello. ⏐Well?' },
    { why: 'names and times', marked: '[12:30] <ida> ready when you are\n⏐[12:31] <kurt> go' },
    { why: 'a full-width colon', marked: '用户：你好吗？\n⏐助手：我很好。⏐你呢？' },
    {
      why: 'ChatML',
      marked:
        '<|im_start|>system\nBe brief. ⏐Be kind.<|im_end|>\n⏐<|im_start|>user\nWhat is 3.5 x 2? ⏐Show it.<|im_end|>\n⏐<|im_start|>assistant\nIt is 7.<|im_end|>\n',
    },
    {
      why: 'marks in the middle of a line',
      marked: '[INST] Write a poem. ⏐Make it short. ⏐[/INST] Here it is. ⏐Enjoy. ⏐[INST] Another.',
    },
    {
      why: 'headers of a turn; its text is prose after the blank line',
      marked:
        '<|start_header_id|>user<|end_header_id|>\n\n⏐Hi there. ⏐How are you?<|eot_id|>⏐<|start_header_id|>assistant<|end_header_id|>\n\n⏐Fine.',
      kinds: ['chat', 'prose', 'prose', 'chat', 'prose'],
    },
  ])('$why', (one) => check('chat', one))

  it('a colon after a name in wrapped prose begins no turn', () => {
    const text = 'In the spring of that long year the treaty was signed again with\nItaly: the rest of them refused it.'
    expect(sentences(text)).toHaveLength(1)
  })
})

describe('the sentences of one quotation or bracket stay together while they are short', () => {
  it.each<Case>([
    { why: 'straight marks', marked: 'She turned. ⏐"No! I will not. Go." ⏐He went.' },
    { why: 'curly marks, and a quotation in another', marked: '“He said ‘Go. Now.’ to me. I went.” ⏐It rained.' },
    { why: 'German marks', marked: '„Ja. Ich komme.“ ⏐Er kam. ⏐»Nein. Nie.« ⏐Er ging.' },
    { why: 'French marks', marked: '« Oui. Je viens. » ⏐Il vint.' },
    { why: 'corner brackets', marked: '「早く。遅いよ。」⏐外は雨だ。' },
    { why: 'brackets', marked: 'It rained (as it does. Always so.) ⏐We stayed.' },
    { why: 'over wrapped lines', marked: '"One came.\nTwo left.\nThree slept." ⏐It was late.' },
    { why: 'an apostrophe opens nothing', marked: "'Tis late. ⏐The boys' boat is gone. ⏐It's 6' long. ⏐Go." },
    { why: 'inches open nothing', marked: 'It is 6" long. ⏐That is 7" wide. ⏐Good.' },
    {
      why: 'a blank line ends a quotation that was left open',
      marked: '"It was so. It is so.\n\n⏐He left. ⏐She stayed.',
    },
  ])('$why', (one) => check('prose', one))

  it('and are cut once they are long, at the end of the sentence that passes the limit', () => {
    const text = `"${Array(30).fill('We came to the river.').join(' ')}"`
    const ends = sentences(text).map(({ end }) => end)
    expect(ends[0]).toBe(243) // 11 sentences of 22 units and the mark; the tenth ends at 220
    expect(sentences(text, { maxQuotedUnits: 0 })).toHaveLength(30)
    expect(sentences(text, { maxQuotedUnits: 4096 })).toHaveLength(1)
  })
})
