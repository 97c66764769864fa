// What others' rows (rivals.py) say about this library's: ratios of times, with the targets that are held against them.

/** A gate and a goal for this library's speed over a rival's, where the shape is one of these. */
const targets = [
  { rival: 'FlashInfer', family: 'decode', shapes: /^32\/8\/128, .*, runs of 16$/, gate: 0.9, goal: 1.05 },
  { rival: 'torch SDPA flash', family: 'prefill', shapes: /^32\/8\/128, (8192|32768) tokens$/, gate: 0.8, goal: 0.95 },
  { rival: 'torch index_select + SDPA', family: 'choose and attend', shapes: /^32\/8\/128, /, gate: 3, goal: 6 },
]

/**
 * Joins each rival's row with the row of this library of the same family and shape.
 * @param {Record<string, unknown>[]} rows all rows of a run
 * @returns rows of kind `rival`, each with `ownMicros`, `ratio` (above 1: this library is faster) and, where there is a target
 * and the numbers mean something, `gate`, `goal` and `verdict`; then those that a target asks for and that did not run, with `why`
 */
export function againstRivals(rows) {
  const own = new Map(rows.filter((row) => row.kind === 'timing').map((row) => [keyOf(row), row]))
  const run = rows
    .filter((row) => row.kind === 'rival')
    .map((row) => {
      const ownMicros = own.get(keyOf(row))?.micros
      if (!(ownMicros > 0)) return { ...row, why: 'this library did not run it' }
      const ratio = row.micros / ownMicros
      const target = targets.find((one) => one.rival === row.rival && one.shapes.test(row.shape))
      return { ...row, ownMicros, ratio, ...(target ? judged(target, ratio) : {}) }
    })
  return [...run, ...absentOnes(rows, [...own.values()], run)]
}

function judged({ gate, goal }, ratio) {
  return { gate, goal, verdict: ratio >= goal ? 'goal' : ratio >= gate ? 'gate' : 'missed' }
}

function absentOnes(rows, own, run) {
  const step = rows.findLast((row) => row.kind === 'step' && row.step === 'rivals')
  const excused = new Map(rows.filter((row) => row.kind === 'notRun').map((row) => [keyOf(row), row.why]))
  return targets.flatMap((target) =>
    own
      .filter(({ family, shape }) => family === target.family && target.shapes.test(shape))
      .filter((row) => !run.some((other) => other.rival === target.rival && keyOf(other) === keyOf(row)))
      .map(({ family, shape }) => ({
        kind: 'rival',
        rival: target.rival,
        family,
        shape,
        why: excused.get(keyOf({ family, shape: `${shape}, ${target.rival}` })) ?? reasonOf(step, target.rival),
      })),
  )
}

function reasonOf(step, rival) {
  if (step === undefined) return 'the step was left out'
  if (step.code !== 0) return step.last.replace(/^not run \((.*)\)$/, '$1')
  return `${rival} is not there`
}

function keyOf({ family, shape }) {
  return `${family}\n${shape}`
}
