/** A fact in words of our own, with what is asked of it. `PLACE` is a place, `VALUE` one of the values. */
export interface SwapTemplate {
  readonly variant: 'entity' | 'number' | 'negation'
  readonly sentence: string
  readonly question: string
  /** Start of the reply, up to the value. */
  readonly answerPrefix: string
  /** Values of which a case takes two; of a negation these are the two. */
  readonly values: readonly string[]
}

const keepers = ['Henrik', 'Salome', 'Quentin', 'Beatrix', 'Tobias', 'Ingrid', 'Marlon', 'Yvonne']
const owners = ['Fowler', 'Castell', 'Brandt', 'Ostrova', 'Pereira', 'Kimura', 'Delaney', 'Voss']
const goods = ['copper', 'wool', 'honey', 'timber', 'salt', 'glass', 'paper', 'silk']
const months = ['March', 'May', 'July', 'October', 'January', 'September', 'April', 'December']
const small = ['12', '27', '35', '48', '56', '64', '71', '93']
const large = ['1470', '2380', '3160', '4920', '5240', '6710', '7830', '8450']

export const swapTemplates: readonly SwapTemplate[] = [
  {
    variant: 'entity',
    sentence: 'The lighthouse at PLACE is looked after by VALUE.',
    question: 'Who looks after the lighthouse at PLACE?',
    answerPrefix: 'The lighthouse at PLACE is looked after by',
    values: keepers,
  },
  {
    variant: 'entity',
    sentence: 'The old mill at PLACE belongs to the VALUE family.',
    question: 'Which family owns the old mill at PLACE?',
    answerPrefix: 'The old mill at PLACE belongs to the',
    values: owners,
  },
  {
    variant: 'entity',
    sentence: 'The market at PLACE is known above all for its VALUE.',
    question: 'What is the market at PLACE known for above all?',
    answerPrefix: 'The market at PLACE is known above all for its',
    values: goods,
  },
  {
    variant: 'entity',
    sentence: 'The yearly fair at PLACE takes place in VALUE.',
    question: 'In which month does the yearly fair at PLACE take place?',
    answerPrefix: 'The yearly fair at PLACE takes place in',
    values: months,
  },
  {
    variant: 'number',
    sentence: 'The ferry from PLACE carries VALUE passengers.',
    question: 'How many passengers does the ferry from PLACE carry?',
    answerPrefix: 'The ferry from PLACE carries',
    values: small,
  },
  {
    variant: 'number',
    sentence: 'The key to the PLACE archive hangs on hook VALUE.',
    question: 'On which hook does the key to the PLACE archive hang?',
    answerPrefix: 'The key to the PLACE archive hangs on hook',
    values: small,
  },
  {
    variant: 'number',
    sentence: 'The repair of the PLACE bridge cost VALUE crowns.',
    question: 'How many crowns did the repair of the PLACE bridge cost?',
    answerPrefix: 'The repair of the PLACE bridge cost',
    values: large,
  },
  {
    variant: 'number',
    sentence: 'The library of PLACE owns VALUE books.',
    question: 'How many books does the library of PLACE own?',
    answerPrefix: 'The library of PLACE owns',
    values: large,
  },
  {
    variant: 'negation',
    sentence: 'The museum of PLACE is VALUE on Mondays.',
    question: 'Is the museum of PLACE open on Mondays, or is it not open?',
    answerPrefix: 'The museum of PLACE is',
    values: ['open', 'not open'],
  },
  {
    variant: 'negation',
    sentence: 'Visitors of the PLACE chapel are VALUE to take photographs.',
    question: 'Are visitors of the PLACE chapel allowed to take photographs, or are they not allowed?',
    answerPrefix: 'Visitors of the PLACE chapel are',
    values: ['allowed', 'not allowed'],
  },
  {
    variant: 'negation',
    sentence: 'The water of the PLACE well is VALUE for drinking.',
    question: 'Is the water of the PLACE well safe for drinking, or is it not safe?',
    answerPrefix: 'The water of the PLACE well is',
    values: ['safe', 'not safe'],
  },
  {
    variant: 'negation',
    sentence: 'The night train to PLACE is VALUE in winter.',
    question: 'Is the night train to PLACE running in winter, or is it not running?',
    answerPrefix: 'The night train to PLACE is',
    values: ['running', 'not running'],
  },
]

/** Places of no map. */
export const swapPlaces = [
  'Aldermoor',
  'Brinfell',
  'Corvale',
  'Dunmarsh',
  'Eskerby',
  'Farnholt',
  'Grenwick',
  'Hallowtarn',
  'Invermead',
  'Kestrelford',
  'Lorrimer',
  'Mossgate',
  'Norrbeck',
  'Osterley',
  'Pennaugh',
  'Quillstead',
  'Ravensby',
  'Silverdene',
] as const

export function fillIn(text: string, place: string, value = ''): string {
  return text.replaceAll('PLACE', place).replaceAll('VALUE', value)
}
