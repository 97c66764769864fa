// Prompts that borrow at once, and aborts in every phase, on an engine of a tiny model with random weights.
import type { DonorStore } from '@kvasir/core'
import { assertSameBits, memoryDonors } from '@kvasir/core/testing'
import { describe, expect, test } from 'vitest'
import type { DonorShelf } from '../library/donor-library.ts'
import { semShareKv } from '../semshare-kv.ts'
import { document, easy, expectNothingLeaks, randomWorld, shifted, teach } from '../testing/random-world.ts'
import { scope } from '../testing/world.ts'

test('two prompts on one donor at once have the bits that each has alone', async () => {
  await using world = await randomWorld(memoryDonors())
  await teach(world)
  const prompts = [shifted, Int32Array.of(1, 2, ...document.slice(30))]
  const pair = prompts.map(() => world.open())
  const together = await world.model.prefill(prompts.map((tokens, at) => pair[at].request(tokens)))
  for (const one of pair) {
    expect(one.report().reuse?.accepted).toBe(true)
    await one.dispose()
  }
  const apart = await Promise.all(
    prompts.map(async (tokens) => {
      await using sequence = world.open()
      return await sequence.prefill(tokens)
    }),
  )
  for (const at of prompts.keys()) assertSameBits(together[at], apart[at])
  await expectNothingLeaks(world)
})

describe('an abort', () => {
  const why = new Error('enough')

  /** Aborts at the n-th call of what the phase watches. */
  async function abortAt(phase: 'lookup' | 'load' | 'first layer' | 'second layer' | 'between layers'): Promise<void> {
    const abort = new AbortController()
    let armed = true
    const fire = (here: boolean) => {
      if (armed && here) abort.abort(why)
    }
    const stored = memoryDonors()
    const shelf: DonorShelf = {
      ...stored,
      open: (id, asker) => {
        fire(phase === 'load' && taught)
        return stored.open(id, asker)
      },
    }
    let taught = false
    await using world = await randomWorld(shelf, (donor) => ({
      ...donor,
      async layer(layer, signal) {
        const bytes = await donor.layer(layer, signal)
        fire(phase === (layer === 0 ? 'first layer' : 'second layer'))
        return bytes
      },
    }))
    await teach(world)
    taught = true
    const own = semShareKv({ donors: world.library, ...easy })
    const policy = {
      ...own,
      open(context: Parameters<typeof own.open>[0]) {
        const session = own.open(context)
        return {
          ...session,
          reuse: async (prompt: Parameters<NonNullable<typeof session.reuse>>[0]) => {
            fire(phase === 'lookup')
            return await session.reuse!(prompt)
          },
          recompute: (report: Parameters<NonNullable<typeof session.recompute>>[0]) => {
            fire(phase === 'between layers')
            return session.recompute!(report)
          },
        }
      },
    }
    await using sequence = world.model.createSequence({ policy, scope })
    await expect(sequence.prefill(shifted, { signal: abort.signal })).rejects.toBe(why)
    expect(world.openDonors()).toBe(0)
    expect(sequence.numTokens).toBe(0)
    armed = false
    const logits = await sequence.prefill(shifted)
    // A hook that was aborted midway left a state that nobody knows: its session is not asked again.
    const borrows = phase !== 'lookup'
    expect(sequence.report().reuse?.accepted).toBe(borrows)
    await using fresh = world.open()
    assertSameBits(borrows ? await fresh.prefill(shifted) : await world.full(shifted), logits)
    await sequence.dispose()
    await fresh.dispose()
    await expectNothingLeaks(world)
  }

  test.each(['lookup', 'load', 'first layer', 'second layer', 'between layers'] as const)(
    'in the phase "%s" gives its reason, leaves nothing behind and lets the sequence begin anew',
    abortAt,
  )

  test('while rows are published stores nothing, and they can be published after', async () => {
    const abort = new AbortController()
    const stored = memoryDonors()
    const put: DonorStore['put'] = async (donor, signal) => {
      if (signal && !signal.aborted) abort.abort(why)
      signal?.throwIfAborted()
      return await stored.put(donor)
    }
    await using world = await randomWorld({ ...stored, put })
    await using sequence = world.open()
    await sequence.prefill(document)
    await expect(sequence.publish({ signal: abort.signal })).rejects.toBe(why)
    expect(world.library.size).toBe(0)
    await sequence.decode(3)
    await sequence.dispose()
    await teach(world)
    await expectNothingLeaks(world)
  })

  test('while a prompt is audited leaves nothing, and the audit can be made after', async () => {
    await using world = await randomWorld(memoryDonors())
    await teach(world)
    await using sequence = world.open({ auditFirstUse: true })
    await sequence.prefill(shifted)
    const abort = new AbortController()
    const audit = sequence.audit({ signal: abort.signal })
    abort.abort(why)
    await expect(audit).rejects.toBe(why)
    expect(await sequence.audit()).toMatchObject({ klNats: expect.any(Number) })
    await sequence.decode(3)
    await sequence.dispose()
    await expectNothingLeaks(world)
  })
})
