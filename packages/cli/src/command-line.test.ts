import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { commandLine } from './command-line.ts'

test('plain words stand as they are, others are quoted', () => {
  expect(commandLine(['eval', 'niah', '--policy', 'quest:page=16', '--out', 'my runs'])).toBe(
    "kvasir eval niah --policy quest:page=16 --out 'my runs'",
  )
})

test('a shell reads back what was given', () => {
  const args = ['', "it's", '$HOME `x` "y" \\', '*', 'a\nb']
  const line = commandLine(args).replace('kvasir', `printf '%s\\0'`)
  expect(execFileSync('sh', ['-c', line], { encoding: 'utf8' }).split('\0').slice(0, -1)).toEqual(args)
})
