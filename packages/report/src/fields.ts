import { formatBytes, formatCount, formatFixed, formatNumber, formatShare } from './format.ts'

/** How a measured field is named and written. */
export interface Field {
  readonly name: string
  /** Column head with unit. */
  readonly head: string
  readonly format: (value: number) => string
}

const share = formatShare
const tenth = (value: number) => formatFixed(value, 1)

const known: Readonly<Record<string, readonly [head: string, format: (value: number) => string]>> = {
  klNats: ['KL, nats', formatNumber],
  klMedianNats: ['KL median, nats', formatNumber],
  klP99Nats: ['KL 99th percentile, nats', formatNumber],
  dPplPercent: ['perplexity loss, %', (value) => formatFixed(value, Math.abs(value) < 10 ? 2 : 1)],
  top1: ['top-1 agreement, %', share],
  correct: ['accuracy, %', share],
  score: ['score, %', share],
  needleHit: ['needle hit, %', share],
  goldNllNats: ['gold NLL, nats', formatNumber],
  attendedTokensMean: ['attended tokens', formatCount],
  poolTokensMean: ['pooled tokens', formatCount],
  heldTokens: ['held tokens', formatCount],
  hotBytes: ['hot', formatBytes],
  warmBytes: ['warm', formatBytes],
  movedBytesPerToken: ['moved a token', formatBytes],
  denseSteps: ['dense steps', formatCount],
  certifiedHeadsShare: ['proven choices, %', share],
  reusedStepsShare: ['reused choices, %', share],
  exactShare: ['in exact runs, %', share],
  accepted: ['borrowed, %', share],
  recomputedShare: ['computed, %', share],
  selfPplRatio: ['self-PPL ratio', (value) => formatFixed(value, 3)],
  ttftRatio: ['times as fast', (value) => formatFixed(value, 2)],
  countedCases: ['counted', formatCount],
  targetFact: ['own fact, %', share],
  donorFact: ['donor’s fact, %', share],
  donorPreferred: ['donor’s likelier, %', share],
  n: ['cases', formatCount],
}

/** A field by its name in results; one that is not known is read from its name and the unit at its end. */
export function fieldOf(name: string): Field {
  if (Object.hasOwn(known, name)) return { name, head: known[name][0], format: known[name][1] }
  const unit = Object.keys(byUnit).find((end) => name.endsWith(end))
  return { name, head: wordsOf(name), format: unit === undefined ? formatNumber : byUnit[unit] }
}

const byUnit: Readonly<Record<string, (value: number) => string>> = {
  Bytes: formatBytes,
  Tokens: formatCount,
  Percent: tenth,
  Share: (value) => `${share(value)}\u202f%`,
  Ms: tenth,
}

/** `ttftFullMs` as "ttft full ms". */
function wordsOf(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, '$1 $2').toLowerCase()
}
