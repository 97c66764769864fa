import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { AbortWatch } from './abort-watch.ts'

test('calls all who still wait, once, behind one listener', () => {
  const watch = new AbortWatch()
  const abort = new AbortController()
  const called: number[] = []
  const forget = Array.from({ length: 50 }, (_, i) => watch.add(abort.signal, () => called.push(i)))
  expect(getEventListeners(abort.signal, 'abort')).toHaveLength(1)
  forget[7]()
  abort.abort()
  abort.abort()
  expect(called).toEqual(Array.from({ length: 50 }, (_, i) => i).filter((i) => i !== 7))
})

test('leaves nothing on a signal that nobody waits for, and can begin again', () => {
  const watch = new AbortWatch()
  const abort = new AbortController()
  const called: string[] = []
  const [first, second] = ['first', 'second'].map((name) => watch.add(abort.signal, () => called.push(name)))
  first()
  expect(getEventListeners(abort.signal, 'abort')).toHaveLength(1)
  second()
  expect(getEventListeners(abort.signal, 'abort')).toHaveLength(0)
  watch.add(abort.signal, () => called.push('third'))
  second()
  abort.abort()
  expect(called).toEqual(['third'])
})
