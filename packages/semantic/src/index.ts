export { resolveRule, type SelectionRule } from './selection-rule.ts'
export { SemanticIndex, uniformLayer } from './semantic-index.ts'
