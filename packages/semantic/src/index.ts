export { resolveRule, type SelectionOptions, type SelectionRule } from './selection-rule.ts'
export { SemanticIndex, uniformLayer } from './semantic-index.ts'
