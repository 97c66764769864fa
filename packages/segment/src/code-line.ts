/** Only lines up to this length (UTF-16 units) are looked at as code or as table rows; longer ones are prose. */
export const maxCodeLine = 400

const codePatterns: readonly RegExp[] = [
  /[{}]\s*[;,)]*\s*$/, // a block opens or closes
  /^\s*[\])}]+[;,]*\s*$/, // only closing brackets
  /^\s*(?:async\s+)?(?:def|class)\s+\w+\s*[(:]/,
  /^\s*(?:else|try|finally|except\b[^:]*)\s*:\s*$/,
  /^\s*(?:if|elif|while|for|with)\b.*[()[\]=<>_].*:\s*$|^\s*for\s+\w+\s+in\s+[\w.]+:\s*$/,
  /^\s*import\s+[\w.]+(?:\s+as\s+\w+)?(?:\s*,\s*[\w.]+)*\s*;?\s*$/,
  /^\s*import\s+(?:.*\bfrom\s+)?['"][^'"]+['"];?\s*$/,
  /^\s*from\s+[\w.]+\s+import\s+\S/,
  /^\s*#\s*(?:include|define|ifn?def|endif|pragma)\b/,
  /^\s*(?:const|let|var|export|public|private|protected|static|fn|func|function|type|interface|struct|enum|impl)\s.*(?:\s=\s|\{|\w\(|\w<\w)/,
  /^\s*(?:package|using|namespace)\s+[\w.:]+\s*;\s*$|^\s*package\s+\w+\s*$/,
  /^\s*return\s+.*[()[\]{}=]|^\s*return\s*;?\s*$/,
  /^\s*[A-Za-z_$][\w.$[\]'"]*(?:\s*:\s*[\w.[\], |]+)?\s*(?:[-+*/|&]?=|:=)\s*[^=\s]/, // an assignment
  /^\s*[A-Za-z_$][\w.$]*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*;?\s*$/, // nothing but a call
  /^\s*(?:\/\/|\/\*|\*\/|<!--|#!)/,
  /^\s*@[A-Za-z_][\w.]*(?:\(.*\))?\s*$/,
  /^\s*<\/?[A-Za-z][^<>]*>.*>?\s*$/, // markup
  /^\s*"[^"]+"\s*:\s*\S.*,?\s*$/, // JSON
  /^\s*(?:SELECT\s.*[a-z*]|(?:INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|ALTER TABLE|DROP TABLE)\s+["`\w])/,
  /^\s*\$\s+[a-z]/, // a shell prompt
]

const endsInSemicolon = /;\s*$/
const statement = /\w!?\(|\s=\s|->|::|(?:\w\+\+|^\s*(?:break|continue))\s*;\s*$/

/** In two steps: one pattern for both would go back and forth through every line that has no semicolon. */
const isStatement = (line: string): boolean => endsInSemicolon.test(line) && statement.test(line)

const signs = /[=(){}<>[\]$]|":|[;:]\s*$/
const firstSigns =
  /^\s*(?:[@#/*]|(?:import|from|else|try|finally|return|break|continue|class|package|SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP)\b)/

/** What is code only below code. */
const followingPatterns: readonly RegExp[] = [
  /[;{},]\s*$/,
  /^\s*(?:return|raise|throw|yield|assert|pass|done|fi|esac|end|then|do|else|begin)\b/,
  /\s=>\s|\s&&\s|\s\|\|\s|\w\[\w+\]|\w\.\w+\(/,
  /^\s*(?:FROM|WHERE|AND|OR|SET|VALUES|GROUP BY|ORDER BY|HAVING|LIMIT|(?:LEFT |RIGHT |INNER )?JOIN)\s+\S/,
  /^\s*(?:- )?[A-Za-z_][\w.-]*:(?:\s+\S.*)?$/, // a key of YAML
  /^\s*[a-z][\w./-]*(?:\s+-{1,2}\w.*|\s+.*["'$|<>*\\].*)$/, // a command
  /^\s*(?:(?:#|--)\s|"""|''')/, // a comment
]

/**
 * True if `line` (without its newline) reads as program text. Of two readings prose wins: books must not turn into code.
 * `isBelowCode`: the line above is program text, so less is asked of this one.
 */
export function isCodeLine(line: string, isBelowCode: boolean): boolean {
  if (hasSign(line) && (isStatement(line) || codePatterns.some((pattern) => pattern.test(line)))) return true
  return isBelowCode && followingPatterns.some((pattern) => pattern.test(line))
}

/** What `line` adds to the bracket depth; strings and comments are not told apart, a blank line resets the depth. */
export function bracketDepth(line: string): number {
  let depth = 0
  for (let i = 0; i < line.length; i++) {
    const c = line.charCodeAt(i)
    if (c === 40 || c === 91) depth++
    else if (c === 41 || c === 93) depth--
  }
  return depth
}

/** A quick no for prose. */
const hasSign = (line: string): boolean => signs.test(line) || firstSigns.test(line)
