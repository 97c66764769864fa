import { expect, test } from 'vitest'
import { seededRandom } from './random.ts'

test('the same seed gives the same numbers, another seed others', () => {
  const draw = (seed: number) =>
    Array.from(
      { length: 20 },
      (
        (random) => () =>
          random.uniform()
      )(seededRandom(seed)),
    )
  expect(draw(7)).toEqual(draw(7))
  expect(draw(7)).not.toEqual(draw(8))
})

test('numbers are spread as they say', () => {
  const random = seededRandom(1)
  const n = 20_000
  const uniforms = Array.from({ length: n }, () => random.uniform())
  expect(Math.min(...uniforms)).toBeGreaterThanOrEqual(0)
  expect(Math.max(...uniforms)).toBeLessThan(1)
  // Five standard errors.
  expect(Math.abs(uniforms.reduce((a, b) => a + b) / n - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / n))
  const normals = random.normals(n, 2)
  const mean = normals.reduce((a, b) => a + b) / n
  const variance = normals.reduce((sum, value) => sum + value * value, 0) / n
  expect(Math.abs(mean)).toBeLessThan(5 * (2 / Math.sqrt(n)))
  expect(Math.abs(variance / 4 - 1)).toBeLessThan(5 * Math.sqrt(2 / n))
  const counts = [0, 0, 0]
  for (let at = 0; at < n; at++) counts[random.integer(3)]++
  for (const count of counts) expect(Math.abs(count - n / 3)).toBeLessThan(5 * Math.sqrt(n * (2 / 9)))
})
