import { DisposedError, OptionError, type Segment } from '@kvasir/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { joint, jointBetween } from './joints.ts'
import type { SegmentOptions } from './segment-options.ts'
import { segmentTokens } from './segment-tokens.ts'
import { SentenceStream } from './sentence-stream.ts'
import { textInPieces } from './testing/texts.ts'
import { TokenSegmenter } from './token-segmenter.ts'

function offsetsOf(pieces: readonly string[]): [number, number][] {
  let start = 0
  return pieces.map((piece) => {
    const end = start + piece.length
    const offset: [number, number] = [start, end]
    start = end
    return offset
  })
}

const batch = (pieces: readonly string[], options?: SegmentOptions): Segment[] =>
  segmentTokens({ text: pieces.join(''), offsets: offsetsOf(pieces) }, options)

function streamed(pieces: readonly string[], options?: SegmentOptions): Segment[] {
  const segmenter = new TokenSegmenter(options)
  return [...segmenter.append(pieces), ...segmenter.end()]
}

/** The rules once more, as plainly as they can be written: where segments end, without kinds. */
function plainEnds(pieces: readonly string[], minTokens: number, maxTokens: number): number[] {
  const text = pieces.join('')
  const offsets = offsetsOf(pieces)
  const sentenceOf: number[] = []
  const stream = new SentenceStream()
  const all = [...stream.push(text), ...stream.end()]
  const offsetOf: number[] = []
  for (let token = 0; token < pieces.length; token++) {
    const withText = pieces.findIndex((piece, index) => index >= token && piece !== '')
    if (withText === -1) {
      sentenceOf.push(Math.max(0, all.length - 1))
      offsetOf.push(text.length)
    } else {
      const visible = pieces[withText].search(/[^\s\u200b]/)
      const offset = offsets[withText][0] + Math.max(0, visible)
      offsetOf.push(offset)
      sentenceOf.push(all.findIndex((sentence) => offset < sentence.end))
    }
  }
  const isInnerEnd = (token: number) =>
    all[sentenceOf[token - 1]].inner.some((end) => offsetOf[token - 1] < end && end <= offsetOf[token])
  const ends: number[] = []
  let start = 0
  for (let token = 1; token <= pieces.length; token++) {
    while (token - start > maxTokens) {
      const places = Array.from({ length: maxTokens - minTokens + 1 }, (_, index) => start + maxTokens - index)
      const joints = places.map((place) =>
        isInnerEnd(place) ? joint.afterSentence : jointBetween(pieces[place - 1], pieces[place]),
      )
      start = places[joints.indexOf(Math.max(...joints) as 0)]
      ends.push(start)
    }
    const isEnd = token === pieces.length || sentenceOf[token] !== sentenceOf[token - 1]
    if (token === pieces.length ? token > start : isEnd && token - start >= minTokens) {
      ends.push(token)
      start = token
    }
  }
  return ends
}

const limits = fc
  .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 0, max: 20 }))
  .map(([min, more]) => ({ minTokens: min, maxTokens: min + more }))

describe('segmentTokens and TokenSegmenter', () => {
  it('put each token in exactly one segment of minTokens to maxTokens, the last one alone may be shorter', () => {
    fc.assert(
      fc.property(textInPieces, limits, ([, pieces], options) => {
        const segments = batch(pieces, options)
        let end = 0
        for (const [index, segment] of segments.entries()) {
          expect(segment.id).toBe(index)
          expect(segment.start).toBe(end)
          end = segment.end
          expect(end - segment.start).toBeLessThanOrEqual(options.maxTokens)
          expect(end - segment.start).toBeGreaterThanOrEqual(index === segments.length - 1 ? 1 : options.minTokens)
        }
        expect(end).toBe(pieces.length)
      }),
      { numRuns: 300, endOnFailure: true },
    )
  })

  it('agree with each other and with the rules written plainly', () => {
    fc.assert(
      fc.property(textInPieces, limits, ([, pieces], options) => {
        const segments = batch(pieces, options)
        expect(streamed(pieces, options)).toEqual(segments)
        expect(segments.map(({ end }) => end)).toEqual(plainEnds(pieces, options.minTokens, options.maxTokens))
      }),
      { numRuns: 400, endOnFailure: true },
    )
  })

  it('cut between sentences, with a leading space on the next and a line end on the last', () => {
    const pieces = [
      'It',
      ' rained',
      ' all',
      ' day',
      '.',
      ' We',
      ' stayed',
      ' at',
      ' home',
      '.\n\n',
      'Then',
      ' the',
      ' sun',
      ' came',
      '.',
    ]
    expect(batch(pieces).map(({ start, end }) => [start, end])).toEqual([[0, 5], [5, 10], [10, 15]]) // biome-ignore format: short
  })

  it('join short sentences with what follows, and leave a short one at the end alone', () => {
    const pieces = ['Yes', '.', ' It', ' rained', ' here', '.', ' No', '.']
    expect(batch(pieces)).toEqual([
      { id: 0, start: 0, end: 6, kind: 'prose' },
      { id: 1, start: 6, end: 8, kind: 'prose' },
    ])
    expect(batch(pieces, { minTokens: 1 }).map(({ end }) => end)).toEqual([2, 6, 8])
  })

  it('cut long sentences at the last clause mark that fits, else between words, else anywhere', () => {
    const words = (text: string) => text.split(/(?= )/)
    expect(
      batch(words('one two, three four, five six seven eight.'), { minTokens: 1, maxTokens: 6 }).map(({ end }) => end),
    ).toEqual([4, 8])
    expect(
      batch(['un', 'believ', 'able', ' con', 'tra', 'ption'], { minTokens: 1, maxTokens: 4 }).map(({ end }) => end),
    ).toEqual([3, 6])
    expect(batch(['a', 'b', 'c', 'd', 'e'], { minTokens: 1, maxTokens: 2 }).map(({ end }) => end)).toEqual([2, 4, 5])
  })

  it('cut a long quotation where one of its sentences ends', () => {
    const words = (text: string) => text.split(/(?= )/)
    const pieces = words('"We left the inn at nine. It rained, and the road was long, so nobody sang."')
    expect(batch(pieces, { minTokens: 2, maxTokens: 12 }).map(({ end }) => end)).toEqual([6, 16])
    expect(batch(pieces, { minTokens: 2, maxTokens: 16 }).map(({ end }) => end)).toEqual([16])
    expect(batch(pieces, { minTokens: 2, maxQuotedUnits: 0 }).map(({ end }) => end)).toEqual([6, 16])
  })

  it('do not cut a number at its comma', () => {
    expect(batch(['1', ',', '0', '0', '0', ' men'], { minTokens: 1, maxTokens: 5 }).map(({ end }) => end)).toEqual([
      5, 6,
    ])
  })

  it('give a segment the kind of most of its tokens', () => {
    const pieces = ['#', ' Plan', '\n', 'We', ' go', ' home', ' now', '.']
    expect(batch(pieces)).toEqual([{ id: 0, start: 0, end: 8, kind: 'prose' }])
    expect(batch(pieces, { minTokens: 3 }).map(({ kind }) => kind)).toEqual(['heading', 'prose'])
  })

  it('keep a token without text with the token whose character it is part of', () => {
    const pieces = ['Stop', '!', '', '', ' 😀', ' He', ' laughed', '.', '']
    expect(batch(pieces, { minTokens: 1 }).map(({ end }) => end)).toEqual([2, 9])
    expect(streamed(pieces, { minTokens: 1 })).toEqual(batch(pieces, { minTokens: 1 }))
  })

  it('segment tokens that have no text at all', () => {
    expect(batch(['', '', '', '', ''], { minTokens: 2, maxTokens: 3 }).map(({ end }) => end)).toEqual([3, 5])
    expect(streamed(['', '', '', '', ''], { minTokens: 2, maxTokens: 3 }).map(({ end }) => end)).toEqual([3, 5])
    expect(batch([])).toEqual([])
    expect(streamed([])).toEqual([])
  })

  it('take offsets that leave out spaces and special tokens at [0, 0]', () => {
    const text = 'We go, you stay. They sleep.'
    const words = [...text.matchAll(/\w+|[.,]/g)].map((match): [number, number] => [
      match.index,
      match.index + match[0].length,
    ])
    const offsets: [number, number][] = [[0, 0], ...words, [0, 0]]
    expect(segmentTokens({ text, offsets }, { minTokens: 1 }).map(({ end }) => end)).toEqual([7, 11])
    expect(segmentTokens({ text, offsets }, { minTokens: 1, maxTokens: 5 }).map(({ end }) => end)).toEqual([4, 7, 11])
  })

  it('refuse wrong options and offsets', () => {
    expect(() => new TokenSegmenter({ minTokens: 0 })).toThrow(OptionError)
    expect(() => new TokenSegmenter({ minTokens: 8, maxTokens: 7 })).toThrow(/maxTokens/)
    expect(() => new TokenSegmenter({ maxToken: 7 } as never)).toThrow(/Did you mean maxTokens\?/)
    expect(() => new TokenSegmenter({ languages: ['xx' as 'en'] })).toThrow(OptionError)
    expect(() => segmentTokens({ text: 'ab', offsets: [[0, 3]] })).toThrow(/offsets\[0\]/)
    expect(() => segmentTokens({ text: 'abc', offsets: [[1, 2], [0, 1]] })).toThrow(/offsets\[0\]/) // biome-ignore format: short
    expect(() => segmentTokens({ text: 'abc', offsets: [[2, 1]] })).toThrow(OptionError)
  })
})

describe('TokenSegmenter', () => {
  it('closes a segment as soon as the next sentence begins and keeps the rest open', () => {
    const segmenter = new TokenSegmenter()
    expect(segmenter.append(['It', ' rained', ' all', ' day', '.'])).toEqual([])
    expect(segmenter.open).toEqual({ start: 0, end: 5 })
    expect(segmenter.push(' We')).toEqual([{ id: 0, start: 0, end: 5, kind: 'prose' }])
    expect(segmenter.open).toEqual({ start: 5, end: 6 })
    expect([segmenter.numTokens, segmenter.numClosed]).toEqual([6, 1])
  })

  it('cuts an endless sentence while it grows', () => {
    const segmenter = new TokenSegmenter({ maxTokens: 8 })
    const closed = segmenter.append(Array.from({ length: 20 }, () => ' la'))
    expect(closed.map(({ end }) => end)).toEqual([8, 16])
    expect(segmenter.open).toEqual({ start: 16, end: 20 })
  })

  it('takes several tokens at once', () => {
    const segmenter = new TokenSegmenter()
    expect(segmenter.push('It rained all day.', 5)).toEqual([])
    expect(segmenter.push(' We stayed at home.', 5)).toEqual([{ id: 0, start: 0, end: 5, kind: 'prose' }])
    expect(segmenter.end()).toEqual([{ id: 1, start: 5, end: 10, kind: 'prose' }])
  })

  it('after truncate is as if the later tokens had never come', () => {
    fc.assert(
      fc.property(textInPieces, limits, fc.nat(), fc.nat(), fc.boolean(), ([, some], options, first, second, ends) => {
        const pieces = Array.from({ length: 1 + (first % 9) }, () => some).flat()
        const rewound = new TokenSegmenter(options)
        rewound.append(pieces)
        if (ends) rewound.end()
        const at = second % (pieces.length + 1)
        rewound.truncate(at)
        const fresh = new TokenSegmenter(options)
        fresh.append(pieces.slice(0, at))
        expect([rewound.open, rewound.numTokens, rewound.numClosed]).toEqual([
          fresh.open,
          fresh.numTokens,
          fresh.numClosed,
        ])
        const next = [...pieces.slice(at), ' And so on.', ' The end.']
        expect([...rewound.append(next), ...rewound.end()]).toEqual([...fresh.append(next), ...fresh.end()])
      }),
      { numRuns: 150, endOnFailure: true },
    )
  })

  it('goes back across saved states, more than once', () => {
    const pieces = Array.from({ length: 1500 }, (_, index) => (index % 11 === 10 ? '.' : ' Word'))
    const segmenter = new TokenSegmenter()
    segmenter.append(pieces)
    segmenter.end()
    for (const at of [1500, 1024, 1023, 512, 511, 256, 255, 0]) {
      segmenter.truncate(at)
      expect(segmenter.numTokens).toBe(at)
    }
    expect([...segmenter.append(pieces), ...segmenter.end()]).toEqual(batch(pieces))
  })

  it('forks: copy and original go on by themselves, rewinds included', () => {
    const pieces = Array.from({ length: 700 }, (_, index) => (index % 9 === 8 ? '!' : ' Word'))
    const original = new TokenSegmenter()
    original.append(pieces)
    const copy = original.clone()
    copy.truncate(300)
    copy.append(Array.from({ length: 400 }, () => ' other'))
    copy.end()
    original.truncate(300)
    original.append(pieces.slice(300))
    original.truncate(10)
    expect([...original.append(pieces.slice(10)), ...original.end()].at(-1)).toEqual(batch(pieces).at(-1))
    expect(copy.numTokens).toBe(700)
  })

  it('refuses tokens after the end until it is rewound', () => {
    const segmenter = new TokenSegmenter()
    segmenter.push('One')
    segmenter.end()
    expect(() => segmenter.push('two')).toThrow(DisposedError)
    expect(() => segmenter.end()).toThrow(/truncate/)
    segmenter.truncate(1)
    expect(segmenter.push(' two')).toEqual([])
  })

  it('refuses pieces that are no strings and rewinds to nowhere', () => {
    const segmenter = new TokenSegmenter()
    expect(() => segmenter.push(5 as never)).toThrow(OptionError)
    expect(() => segmenter.push('a', 0)).toThrow(OptionError)
    expect(() => segmenter.truncate(1)).toThrow(OptionError)
    expect(() => segmenter.truncate(-1)).toThrow(OptionError)
  })
})
