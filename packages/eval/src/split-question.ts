/**
 * Cuts a prompt before the question at its end: the last line that begins with "Question:", or the last request that
 * begins with "Now, ", else the last line. The line break goes with the question.
 */
export function splitQuestion(prompt: string): { readonly context: string; readonly question: string } {
  const marks = ['\nQuestion:', '\nNow, ', '\n'].map((mark) => prompt.lastIndexOf(mark))
  const at = Math.max(0, marks.find((mark) => mark >= 0) ?? 0)
  return { context: prompt.slice(0, at), question: prompt.slice(at) }
}
