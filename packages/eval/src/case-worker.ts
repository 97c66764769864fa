// A process that runs cases for another one; see worker-pool.ts. It writes nothing but messages.
import { CaseRunner } from './case-runner.ts'
import type { WorkerReply, WorkerRequest } from './worker-messages.ts'

const stepEveryMs = 100

let runner: CaseRunner | undefined
let lastStepMs = 0

function send(reply: WorkerReply): void {
  process.send?.(reply)
}

function onStep(step: number, numSteps: number): void {
  const nowMs = performance.now()
  if (nowMs - lastStepMs < stepEveryMs) return
  lastStepMs = nowMs
  send({ kind: 'step', done: step / numSteps })
}

async function answer(request: WorkerRequest): Promise<WorkerReply> {
  try {
    if (request.kind === 'open') {
      runner = await CaseRunner.open(request.setup)
      return { kind: 'opened' }
    }
    return { kind: 'results', results: await runner!.run(request.task, { onStep }) }
  } catch (error) {
    return { kind: 'failed', message: error instanceof Error ? error.message : String(error) }
  }
}

// Ctrl-C at a terminal reaches the whole group of processes: the one that asked decides, and takes this one with it.
process.on('SIGINT', () => {})
process.on('disconnect', () => process.exit())
process.on('message', (request: WorkerRequest) => void answer(request).then(send))
