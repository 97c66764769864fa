import { readFileSync } from 'node:fs'
import { loadAddon } from '@kvasir/native'
import ts from 'typescript'
import { expect, test } from 'vitest'
import { availableBackends } from '../backends.ts'

const missing = availableBackends().some(({ backend, missing }) => backend === 'cpu' && missing !== undefined)

test.skipIf(missing)('the addon exports what NativeBinding declares, with as many parameters', () => {
  const { arities, ...exported } = loadAddon() as { arities: Record<string, number> }
  expect(arities).toEqual(declaredArities())
  expect(Object.keys(exported).sort()).toEqual(Object.keys(arities).sort())
})

test.skipIf(missing)('a call with another number of arguments is refused', () => {
  const { machine } = loadAddon() as { machine: (extra: number) => void }
  expect(() => machine(1)).toThrow('machine: expected 0 arguments')
})

test.skipIf(missing)('a handle of another kind is refused', () => {
  const addon = loadAddon() as Record<string, (...args: unknown[]) => unknown>
  const lists = addon.createRunLists!(1, 1, 1)
  expect(() => addon.copyPage!(lists, 0, 0)).toThrow('handle of another kind')
  expect(() => addon.copyPage!({}, 0, 0)).toThrow('living handle')
  addon.release!(lists)
  expect(() => addon.getRunList!(lists, 0)).toThrow('living handle')
})

function declaredArities(): Record<string, number> {
  const path = new URL('./binding.ts', import.meta.url)
  const source = ts.createSourceFile('binding.ts', readFileSync(path, 'utf8'), ts.ScriptTarget.Latest)
  const declared: Record<string, number> = {}
  for (const statement of source.statements) {
    if (!ts.isInterfaceDeclaration(statement) || statement.name.text !== 'NativeBinding') continue
    for (const member of statement.members) {
      if (ts.isMethodSignature(member)) declared[member.name.getText(source)] = member.parameters.length
    }
  }
  return declared
}
