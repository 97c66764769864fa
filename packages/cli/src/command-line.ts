/** The command line of this process as it may be typed again at a POSIX shell. */
export function commandLine(args: readonly string[] = process.argv.slice(2)): string {
  return ['kvasir', ...args.map(quoted)].join(' ')
}

function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
