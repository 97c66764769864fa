import { OptionError } from '@kvasir/core'
import { expect, test } from 'vitest'
import { readLongDocument } from './long-document.ts'
import { applyEdits, readNearCopy } from './near-copy.ts'

test('every edit of the near-copy applies, and it says the new fact and not the earlier one', () => {
  const { text } = readLongDocument()
  const { edits, expects, formerly } = readNearCopy()
  let edited = text
  for (const edit of edits) {
    const before = edited
    edited = applyEdits(edited, [edit])
    expect(edited, edit.what).not.toBe(before)
    if ('swap' in edit) {
      const [first, second] = edit.swap
      expect(before.indexOf(first)).toBeLessThan(before.indexOf(second))
      expect(edited.indexOf(second)).toBeLessThan(edited.indexOf(first))
      expect(edited).toHaveLength(before.length)
    } else expect(edited, edit.what).toContain(edit.replace)
  }
  expect([text.split(formerly).length, text.split(expects).length]).toEqual([2, 1])
  expect([edited.split(formerly).length, edited.split(expects).length]).toEqual([1, 2])
})

test('paragraphs change places whichever is named first, the last one too', () => {
  const swap = (a: string, b: string) => applyEdits('One.\n\nTwo.\n\nThree.', [{ what: '', swap: [a, b] }])
  expect(swap('One', 'Three')).toBe('Three.\n\nTwo.\n\nOne.')
  expect(swap('Three', 'One')).toBe('Three.\n\nTwo.\n\nOne.')
})

test.each([
  [{ what: '', find: 'nowhere', replace: 'x' }, /one place in the text with "nowhere", got "none"/],
  [{ what: '', find: 'a', replace: 'x' }, /got "more than one"/],
  [{ what: '', swap: ['b', 'z'] as const }, /"z", got "none"/],
])('misuse: %o', (edit, message) => {
  expect(() => applyEdits('a b a', [edit])).toThrow(OptionError)
  expect(() => applyEdits('a b a', [edit])).toThrow(message)
})
