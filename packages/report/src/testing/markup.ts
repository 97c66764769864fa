const voidElements = new Set(['meta', 'link', 'br', 'hr', 'img', 'input'])

/** What is wrong with the tags of a document: each is closed in turn, attributes are quoted and stand once. */
export function markupProblems(page: string): string[] {
  const problems: string[] = []
  const open: string[] = []
  const body = page.replace(/^<!doctype html>/, '').replace(/<style>[^<]*<\/style>/g, '<style></style>')
  let end = 0
  for (const match of body.matchAll(/<(\/?)([a-zA-Z][\w-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/g)) {
    const text = body.slice(end, match.index)
    if (/[<>]/.test(text)) problems.push(`loose bracket in ${JSON.stringify(text.slice(0, 80))}`)
    end = match.index + match[0].length
    const [, close, name, attributes, isClosed] = match
    const names = [...attributes.matchAll(/\s([\w:-]+)="/g)].map(([, attribute]) => attribute)
    if (new Set(names).size < names.length) problems.push(`an attribute stands twice in ${match[0]}`)
    if (close) {
      const opened = open.pop()
      if (opened !== name) problems.push(`</${name}> closes ${opened}`)
    } else if (!isClosed && !voidElements.has(name)) open.push(name)
  }
  if (/[<>]/.test(body.slice(end))) problems.push('loose bracket at the end')
  return [...problems, ...open.map((name) => `${name} is not closed`)]
}
