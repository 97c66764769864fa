export { resolveRule, type SelectionOptions, type SelectionRule } from './selection-rule.ts'
export { type IndexOptions, SemanticIndex, uniformLayer } from './semantic-index.ts'
