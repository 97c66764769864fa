import {
  type CachePolicy,
  type Decline,
  type DonorKv,
  type DonorStore,
  exact,
  type LayerReport,
  type ReusePlan,
  type RowSet,
  type Scope,
} from '@kvasir/core'
import { memoryDonors, probePolicy, watchPolicy } from '@kvasir/core/testing'
import { encodePrompt, type LlamaModel, type LlamaOptions, loadLlama, type ReuseReport } from '@kvasir/llama'
import { createDonorIndex } from '@kvasir/lsh'
import { modelPath } from '@kvasir/model-smollm2-135m-instruct'
import { donorLibrary } from '../library/donor-library.ts'
import { type SemShareKv, type SemShareKvOptions, semShareKv } from '../semshare-kv.ts'

/** The bundled model twice: one computes donors, the other borrows, so that it has nothing of them but what is lent. */
export interface RealWorld extends AsyncDisposable {
  /** The one that borrows. */
  readonly model: LlamaModel
  tokensOf(text: string): Int32Array
  /** The prompt's KV, computed in full. */
  compute(tokens: Int32Array): Promise<DonorKv>
  /** Reads a prompt that can borrow from these donors and from nobody else. */
  read(tokens: Int32Array, donors: readonly DonorKv[], options?: ReadOptions): Promise<Reading>
  /** Reads the prompt in full and answers with so many tokens, the likeliest each time. */
  full(tokens: Int32Array, replyTokens?: number): Promise<FullReading>
  /** How many donors are open. */
  openDonors(): number
}

export interface ReadOptions {
  /** Of the policy, beside its library. @default audits off */
  readonly policy?: Partial<SemShareKvOptions>
  /** Another plan in place of the policy's. @default the same */
  readonly change?: (plan: ReusePlan) => ReusePlan
  /** Rows of the next layer in place of the policy's. @default the same */
  readonly narrow?: (report: LayerReport) => RowSet | Decline
  /** Tokens that are decoded after the prompt. @default none */
  readonly reply?: readonly number[]
  readonly signal?: AbortSignal
}

interface Reading {
  /** After the prompt and after each token of the reply. */
  readonly logits: readonly Float32Array[]
  readonly report: ReuseReport
  readonly plan: ReusePlan | Decline
  /** Rows computed at the first layer, and after each layer at which somebody was asked, from then on. */
  readonly layers: readonly Int32Array[]
  /** What was told between the layers. */
  readonly reports: readonly LayerReport[]
  /** Time from the call to the first logits, without the library's making. */
  readonly firstLogitsMs: number
}

interface FullReading {
  readonly logits: readonly Float32Array[]
  readonly reply: readonly number[]
}

export async function realWorld(options: Partial<LlamaOptions> = {}): Promise<RealWorld> {
  const shelf = newShelf()
  const computed = memoryDonors()
  const failures: unknown[] = []
  const onQuarantine = ({ error }: { readonly error: unknown }) => void failures.push(error)
  const common = { model: modelPath, contextTokens: 2048, onQuarantine, ...options }
  const lender = await loadLlama({ ...common, donors: computed })
  const model = await loadLlama({ ...common, donors: shelf })
  let scopes = 0
  const newScope = (): Scope => ({ tenant: 't', group: `g${++scopes}`, model: 'm', layout: 'l', policy: 'p' })

  return {
    model,
    openDonors: shelf.numOpen,
    tokensOf: (text) => encodePrompt(model, text),
    async compute(tokens) {
      const scope = newScope()
      const policy = probePolicy({ slots: ['publish'] }, () => ({
        publish: () => ({ spans: [{ start: 0, end: tokens.length }], scope, provenance: exact }),
      }))
      await using sequence = lender.createSequence({ policy, scope })
      await sequence.prefill(tokens)
      return (await computed.open((await sequence.publish()) as string, scope)) as DonorKv
    },
    async read(tokens, donors, { policy = {}, reply = [], signal, ...changes } = {}) {
      const scope = newScope()
      shelf.show(donors, scope)
      const library = await donorLibrary({ store: shelf, index: createDonorIndex({ secret }) })
      const watched = watch(semShareKv({ donors: library, auditFirstUse: false, auditShare: 0, ...policy }), changes)
      const startMs = performance.now()
      await using sequence = model.createSequence({ policy: watched.policy, scope })
      const logits = [await sequence.prefill(tokens, signal ? { signal } : {})]
      const firstLogitsMs = performance.now() - startMs
      for (const token of reply) logits.push(await sequence.decode(token))
      if (failures.length > 0) throw failures[0]
      const report = sequence.report().reuse as ReuseReport
      const { plans, layers, reports } = watched
      return { logits, report, firstLogitsMs, plan: plans[0], layers, reports }
    },
    async full(tokens, replyTokens = 0) {
      await using sequence = model.createSequence()
      const logits = [await sequence.prefill(tokens)]
      const reply: number[] = []
      while (reply.length < replyTokens) {
        reply.push(likeliest(logits[reply.length]))
        logits.push(await sequence.decode(reply[reply.length - 1]))
      }
      return { logits, reply }
    },
    async [Symbol.asyncDispose]() {
      await model.dispose()
      await lender.dispose()
    },
  }
}

/** Of the donor index: which shingles it samples is not left to chance. */
const secret = new Uint8Array(32).fill(7)

/** Lends what it is shown, as donors of one scope, and takes nothing in. */
function newShelf() {
  let shown = new Map<string, DonorKv>()
  const open = new Set<DonorKv>()
  return {
    show(donors: readonly DonorKv[], scope: Scope): void {
      shown = new Map(donors.map((donor) => [donor.id, { ...donor, scope }]))
    },
    numOpen: () => open.size,
    ids: () => [...shown.keys()],
    entry: (id: string) => shown.get(id) ?? null,
    put: async () => false,
    async open(id: string) {
      const donor = shown.get(id)
      if (!donor) return null
      const lent: DonorKv = {
        ...donor,
        close: () => {
          open.delete(lent)
        },
      }
      open.add(lent)
      return lent
    },
  } satisfies DonorStore & Record<string, unknown>
}

/** Notes the plan and the rows of each layer, and changes them. */
function watch(policy: SemShareKv, { change = (plan) => plan, narrow }: Pick<ReadOptions, 'change' | 'narrow'>) {
  const plans: (ReusePlan | Decline)[] = []
  const layers: Int32Array[] = []
  const reports: LayerReport[] = []
  const changing: CachePolicy = {
    ...policy,
    open(sequence) {
      const session = policy.open(sequence)
      return {
        ...session,
        async reuse(prompt) {
          const offered = await session.reuse!(prompt)
          const plan = offered.kind === 'reuse' ? change(offered) : offered
          plans.push(plan)
          if (plan.kind === 'reuse') layers.push(plan.recompute.rows)
          return plan
        },
        ...(session.recompute && { recompute: narrow ?? ((report: LayerReport) => session.recompute!(report)) }),
      }
    },
  }
  const watched = watchPolicy(changing, {
    after(hook, [report], answer) {
      if (hook !== 'recompute') return
      reports.push(report as LayerReport)
      if ('rows' in (answer as object)) layers.push((answer as RowSet).rows)
    },
  })
  return { policy: watched, plans, layers, reports }
}

/** Mean over the steps of KL(full || other) in nats. */
export function meanKlNats(full: readonly Float32Array[], other: readonly Float32Array[]): number {
  return full.reduce((sum, logits, at) => sum + klNats(logits, other[at]), 0) / full.length
}

function klNats(full: Float32Array, other: Float32Array): number {
  const [fullLog, otherLog] = [logSumExp(full), logSumExp(other)]
  let sum = 0
  full.forEach((logit, token) => {
    sum += Math.exp(logit - fullLog) * (logit - fullLog - (other[token] - otherLog))
  })
  return sum
}

/** Perplexity of the reply under `other`, over that under `full`. */
export function perplexityRatio(
  reply: readonly number[],
  full: readonly Float32Array[],
  other: readonly Float32Array[],
): number {
  const nats = (logits: readonly Float32Array[]) =>
    reply.reduce((sum, token, at) => sum + logSumExp(logits[at]) - logits[at][token], 0) / reply.length
  return Math.exp(nats(other) - nats(full))
}

function logSumExp(logits: Float32Array): number {
  const max = logits[likeliest(logits)]
  return max + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0))
}

export function likeliest(logits: Float32Array): number {
  let best = 0
  for (let token = 1; token < logits.length; token++) if (logits[token] > logits[best]) best = token
  return best
}
