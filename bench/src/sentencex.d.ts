/** The part of the untyped npm package sentencex that is measured. */
declare module 'sentencex' {
  export function segment(language: string, text: string): string[]
}
