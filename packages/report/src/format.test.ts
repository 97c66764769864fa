import { expect, test } from 'vitest'
import { fieldOf } from './fields.ts'
import { formatBytes, formatCount, formatFixed, formatNumber, formatSigned, formatTick, plural } from './format.ts'

test.each([
  [0, '0'],
  [0.28, '0.280'],
  [0.00484, '0.00484'],
  [-1.5, '−1.50'],
  [1234.5, '1,235'],
  [9.999, '10.0'],
  [0.0099999, '0.0100'],
  [3e-9, '3.0e-9'],
])('%f has three significant digits', (value, text) => {
  expect(formatNumber(value)).toBe(text)
})

test('axes do without zeros at the end', () => {
  expect([0.1, 0.5, -3, 1000].map(formatTick)).toEqual(['0.1', '0.5', '−3', '1,000'])
})

test('bytes have decimal units', () => {
  expect([0, 512, 5_900_000, 94e9].map(formatBytes)).toEqual(['0\u202fB', '512\u202fB', '5.90\u202fMB', '94.0\u202fGB'])
  expect(formatBytes(999_999)).toBe('1.00\u202fMB')
})

test('counts are whole where they can be', () => {
  expect([6144, 63.98].map(formatCount)).toEqual(['6,144', '64'])
  expect([plural(1, 'case'), plural(1200, 'case')]).toEqual(['1 case', '1,200 cases'])
})

test('a difference has a sign unless it rounds to nothing', () => {
  const format = (value: number) => formatSigned(value, (size) => formatFixed(size, 2))
  expect([0.5, -0.5, 0.001, -0.001, 0].map(format)).toEqual(['+0.50', '−0.50', '0.00', '0.00', '0.00'])
})

test('a field that is not known is read from its name', () => {
  expect(fieldOf('klNats')).toMatchObject({ head: 'KL, nats' })
  const { head, format } = fieldOf('donorBytes')
  expect([head, format(2e6)]).toEqual(['donor bytes', '2.00\u202fMB'])
  expect(fieldOf('toString').head).toBe('to string')
})
