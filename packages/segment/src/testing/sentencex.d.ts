/** The part of the untyped npm package sentencex that the tests use. */
declare module 'sentencex' {
  export function segment(language: string, text: string): string[]
}
