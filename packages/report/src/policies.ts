/** How one policy looks in every plot: never by colour alone. */
export interface PolicyStyle {
  /** The SPEC in full, as results name it. */
  readonly policy: string
  /** Short and unlike every other label. */
  readonly label: string
  /** A CSS colour, by variable so that it fits a light and a dark page. */
  readonly color: string
  readonly symbol: (typeof symbols)[number]
  /** Dashed: not a policy to choose, but a yardstick. */
  readonly isYardstick: boolean
}

const symbols = ['circle', 'square', 'triangle', 'diamond', 'star', 'wye', 'cross'] as const
const numColors = 8
const maxLabelChars = 20
const yardsticks = ['full', 'oracle', 'random']

/** Full cache and oracle first, chance last, the others as they first appear. */
export function stylePolicies(policies: readonly string[]): readonly PolicyStyle[] {
  const all = [...new Set(policies)]
  const ordered = [
    ...all.filter((policy) => ['full', 'oracle'].includes(nameOf(policy))).sort(),
    ...all.filter((policy) => !yardsticks.includes(nameOf(policy))),
    ...all.filter((policy) => nameOf(policy) === 'random'),
  ]
  const labels = labelPolicies(ordered)
  const coloured = ordered.filter((policy) => !yardsticks.includes(nameOf(policy)))
  return ordered.map((policy, i) => {
    const [yardstick, place] = [yardsticks.indexOf(nameOf(policy)), coloured.indexOf(policy)]
    const isYardstick = yardstick >= 0
    const color = isYardstick ? 'var(--yardstick)' : `var(--series-${(place % numColors) + 1})`
    const symbol = symbols[(isYardstick ? yardstick : place) % symbols.length]
    return { policy, label: labels[i], color, symbol, isYardstick }
  })
}

/** True for the full cache, whatever its options: what the others are measured against. */
export function isFull(policy: string): boolean {
  return nameOf(policy) === 'full'
}

/** The name where that says enough, else with as many of the options as tell it from its namesakes, cut to fit a plot. */
export function labelPolicies(policies: readonly string[]): readonly string[] {
  const labels = policies.map((policy) => {
    const namesakes = policies.filter((other) => nameOf(other) === nameOf(policy))
    const isShared = (option: string) => namesakes.every((other) => optionsOf(other).includes(option))
    const ownOptions = (other: string) => optionsOf(other).filter((option) => !isShared(option))
    const own = ownOptions(policy)
    const rivals = namesakes.filter((other) => other !== policy).map(ownOptions)
    const isTold = (count: number) =>
      !rivals.some((rival) => own.slice(0, count).every((option, i) => rival[i] === option))
    const count = own.findIndex((_, i) => isTold(i + 1)) + 1 || own.length
    const shown = rivals.length === 0 ? [] : own.slice(0, count)
    return clip([nameOf(policy), ...shown.map((option) => option.replace(/^mode=/, ''))].join(' '), maxLabelChars)
  })
  return labels.map((label, i) => {
    const before = labels.slice(0, i).filter((other) => other === label).length
    return before === 0 ? label : `${clip(label, maxLabelChars - 3)} #${before + 1}`
  })
}

export function clip(text: string, maxChars: number): string {
  const chars = [...text]
  return chars.length <= maxChars ? text : `${chars.slice(0, maxChars - 1).join('')}…`
}

function nameOf(policy: string): string {
  return policy.split(':', 1)[0]
}

function optionsOf(policy: string): string[] {
  const at = policy.indexOf(':')
  return at < 0 ? [] : policy.slice(at + 1).split(',')
}
