import { seededRandom } from '@kvasir/core/testing'

/** Three texts about different things, of about 250 tokens each. */
export const articles: readonly [string, string, string] = [
  `The ferry to the outer islands leaves twice a day in summer and once in winter. Most travellers stand on the upper deck, where the wind is cold but the view is worth it. The first stop is a low island with a red harbour shed and about forty houses. A bakery sells rye bread there, and the queue reaches the water on Saturdays. The second stop has no village at all, only a jetty, a path and a stone cross that sailors put up after a storm. People who get off here bring their own food, since nothing can be bought. From the jetty the path climbs through heather to a ridge, and then falls towards a beach of flat grey pebbles. Seals rest on the rocks in the afternoon when the tide is low. The captain sounds the horn ten minutes before the last boat goes back, and those who miss it sleep under the roof of the old net store.

`,
  `Bread made with a sour starter needs more time than work. The evening before, stir a spoonful of the starter into flour and water and leave the bowl in a warm corner. By morning it should smell of apples and be full of bubbles. Add the rest of the flour, the salt and enough water for a soft dough, and fold it four times in the next two hours. Do not knead it hard, because the long rest does the same job. When the dough has grown by half, shape it into a ball and let it stand in a floured basket until a finger leaves a dent that comes back slowly. Heat the oven with an iron pot inside, turn the loaf into the pot, cut the top once and close the lid. After half an hour take the lid off, so that the crust can brown. The loaf is done when it sounds hollow, and it should cool on a rack before anyone cuts it.

`,
  `A small town library changed the way it lends tools as well as books. Drills, ladders and sewing machines stand on shelves behind the desk, each with a number and a card on which faults are noted. Members take one thing at a time and keep it for a week. At first the staff feared that machines would come back broken, but in two years only three had to be thrown away. What breaks is repaired on the first Monday of the month, when neighbours who know about motors and fabric meet in the reading room. Children watch, and some of them learn to solder. The council paid for the shelves and a local shop gave the first twenty tools. Since then the collection has grown without money, through gifts from people who moved to smaller flats. The librarian says that the tools brought in readers who had not been seen there since school.

`,
]

/** Sentences of one text, each with another wording of it. */
const reworded: readonly (readonly [string, string])[] = [
  [
    'The old mill stands by the river at the edge of the village.',
    'At the end of the village, next to the water, is an old mill.',
  ],
  [
    'For many years nobody worked there and the wheel was covered with moss.',
    'It lay idle for decades while moss grew over its wheel.',
  ],
  [
    'Then a young couple bought it and began to clear the rooms.',
    'In the end two young people became its owners and emptied one room after another.',
  ],
  [
    'They found sacks of grain, two broken stones and a box of letters.',
    'Among the rubbish were bags of corn, a pair of cracked millstones and some old mail.',
  ],
  [
    'The letters told how the last miller had left after a flood.',
    'From this post they learned that high water had driven the last miller away.',
  ],
  [
    'With help from friends they repaired the roof before the first snow.',
    'Friends lent a hand, and by the start of winter the top of the house was tight again.',
  ],
  [
    'A carpenter built a new wheel out of oak and larch.',
    'Someone who knew his wood made them another wheel, partly oak and partly larch.',
  ],
  [
    'In spring the water was let in and the wheel turned for the first time.',
    'When the cold was over they opened the sluice and everything began to move.',
  ],
  [
    'Today the mill grinds spelt and rye for three bakers in the valley.',
    'Now three bakeries nearby get their rye and spelt from it.',
  ],
  [
    'On Sundays visitors may look at the machines and buy a bag of flour.',
    'Guests are shown around at the weekend and can take some flour home.',
  ],
]

/** `share` of the sentences in their other wording, spread over the text. */
export function rewordedText(share: number): string {
  const count = Math.round(share * reworded.length)
  const isOther = (at: number) =>
    Math.floor(((at + 1) * count) / reworded.length) > Math.floor((at * count) / reworded.length)
  return `${reworded.map(([one, other], at) => (isOther(at) ? other : one)).join(' ')}\n\n`
}

/** Two letters of the same help desk about different things, which share no more than its usual phrases. */
export const supportLetters: readonly [string, string] = [
  `Dear customer, thank you for writing to the help desk. Your coffee machine shows a red light because the water tank sits too low. Push it down until it clicks, then hold the left button for five seconds. If the light stays on, empty the tray under the spout and dry the two metal contacts with a cloth. Descale the machine every two months, with vinegar or with the powder that came in the box, and rinse it twice afterwards. Never open the back plate, as this ends the warranty. A new seal for the tank costs four euros and is sent within a week. Kind regards, the help desk.`,
  `Dear customer, thank you for writing to the help desk. We are sorry that the jacket arrived in the wrong size. Please pack it in any sturdy bag and print the label that hangs on this letter. The parcel can be dropped at every post office and costs you nothing. As soon as it reaches our store we will post the larger size, usually on the same day, or give the money back to the card that you paid with. Washed or worn clothes cannot be exchanged. Should the larger jacket be sold out, you may choose a similar one from the autumn list at the old price. Kind regards, the help desk.`,
]

/** A text with one fact in it, the same with another one in its place, and what to ask. */
export interface Swap {
  readonly kind: 'entity' | 'number' | 'negation'
  readonly donor: string
  readonly target: string
  /** What the prompt ends with, so that the reply begins with the fact. */
  readonly cue: string
  readonly donorFact: string
  readonly targetFact: string
}

const names = [
  'Martha',
  'Oliver',
  'Sandra',
  'Victor',
  'Helena',
  'Jacob',
  'Rachel',
  'Peter',
  'Laura',
  'Simon',
  'Alice',
  'Edward',
]
const bans = ['bring dogs', 'smoke', 'take photographs', 'eat', 'swim', 'cycle', 'play music', 'camp', 'park', 'fish']
const places = ['in the hall', 'in the yard', 'in the old barn', 'by the pond', 'in the east wing']
const fillers = [
  'The committee met on a rainy evening and talked about the coming season.',
  'New chairs were set out in rows and the windows were cleaned from both sides.',
  'Somebody suggested that the lamps along the path should be repaired first.',
  'The paint for the fence had been paid for and stood in the shed.',
  'After the meeting there was soup, and most people stayed until it was dark.',
  'The piano must be tuned again before the choir comes back.',
  'A list of small tasks hangs beside the door, and everyone may add to it.',
  'The garden needs water in the dry weeks, which the neighbours share among them.',
  'Old newspapers are collected in the cellar and taken away once a month.',
  'The next letter will follow when the leaves have fallen.',
]

/** `count` letters with three facts each, of which one is swapped: three cases a letter. */
export function swaps(count: number, seed: number): Swap[] {
  const random = seededRandom(seed)
  return Array.from({ length: count }, (_, at) => swapsOfLetter(random, at)).flat()
}

function swapsOfLetter(random: ReturnType<typeof seededRandom>, at: number): Swap[] {
  const offset = random.integer(fillers.length)
  const filler = (i: number) => fillers[(offset + i) % fillers.length]
  const name = (i: number) => names[(2 * at + i) % names.length]
  const number = () => String(100 + random.integer(900))
  const numbers = [number(), number()]
  const rule = `${bans[at % bans.length]} ${places[random.integer(places.length)]}`
  const facts: { kind: Swap['kind']; cue: string; facts: readonly [string, string]; rest: string }[] = [
    { kind: 'entity', cue: 'The key to the store room was given to', facts: [` ${name(0)}`, ` ${name(1)}`], rest: '.' },
    { kind: 'number', cue: 'The code of the gate is now', facts: [` ${numbers[0]}`, ` ${numbers[1]}`], rest: '.' },
    {
      kind: 'negation',
      cue: 'Guests of the house may',
      facts: at % 2 === 0 ? [` ${rule}`, ` not ${rule}`] : [` not ${rule}`, ` ${rule}`],
      rest: ', as before.',
    },
  ]
  const letter = (swapped: number) => {
    const said = facts.map(({ cue, facts, rest }, i) => `${cue}${facts[i === swapped ? 1 : 0]}${rest}`)
    return [
      filler(0),
      filler(1),
      said[0],
      filler(2),
      filler(3),
      said[1],
      filler(4),
      said[2],
      filler(5),
      filler(6),
    ].join(' ')
  }
  return facts.map(({ kind, cue, facts: [donorFact, targetFact] }, i) => {
    return { kind, donor: letter(-1), target: letter(i), cue, donorFact, targetFact }
  })
}

/** Lines of a harbour's book, no two alike. */
export function logbook(lines: number): string {
  const things = ['bicycles', 'barrels', 'letters', 'sheep', 'lamps', 'windows', 'baskets of plums', 'crates']
  return Array.from({ length: lines }, (_, at) => {
    const thing = things[(at * 5 + 2) % things.length]
    return `Day ${at + 1}: ${20 + ((at * 37) % 61)} people and ${2 + ((at * 11) % 17)} ${thing} came over.\n`
  }).join('')
}
