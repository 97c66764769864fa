import { expect, test } from 'vitest'
import { auditPtx, compare, describe, occupancyOf, parseResources } from './gpu-expect.mjs'

// void kvasir::gpu::kernel<kvasir::gpu::CopyPieces, 128, 0u>(kvasir::gpu::CopyPieces::Args)
const symbol = '_ZN6kvasir3gpu6kernelINS0_10CopyPiecesELi128ELj0EEEvNT_4ArgsE'

const ptxasLog = (registers: number, spills: number) => `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '${symbol}' for 'sm_80'
ptxas info    : Function properties for ${symbol}
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 64 bytes smem
ptxas info    : Compiling entry function '${symbol}' for 'sm_90'
ptxas info    : Function properties for ${symbol}
    ${spills} bytes stack frame, ${spills} bytes spill stores, 0 bytes spill loads
ptxas info    : Used ${registers} registers, used 1 barriers
`

const ptx = `.visible .entry ${symbol}(
\t.param .b8 p[16]
)
.maxntid 128, 1, 1
{
\tld.param.u64 \t%rd1, [p];
\tld.global.u32 \t%r1, [%rd1];
$L__BB0_1:
\tld.global.v4.u32 \t{%r2, %r3, %r4, %r5}, [%rd1];
\t@%p1 ld.global.f32 \t%f1, [%rd1+16];
\t// begin inline asm
\t{ cvt.f32.f16 %f2, %rs1;
}
\t// end inline asm
\tmma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f1}, {%r2}, {%r3}, {%f1};
\tst.global.v4.u32 \t[%rd1], {%r2, %r3, %r4, %r5};
\t@%p2 bra \t$L__BB0_1;
\tst.global.u32 \t[%rd1], %r1;
\tret;
}
`

function measured(registers = 48, spills = 0, text = ptx) {
  return { resources: parseResources(ptxasLog(registers, spills)), audit: auditPtx(text) }
}

const { resources, audit } = measured()
const [name = ''] = resources.keys()

test('registers, shared memory and spills are read for each architecture', () => {
  const byArch = resources.get(name)
  expect([...(byArch?.keys() ?? [])]).toEqual(['80', '90'])
  expect(byArch?.get('80')).toMatchObject({ registers: 40, staticShared: 64, spills: 0, stack: 0 })
  expect(byArch?.get('90')).toMatchObject({ registers: 48, staticShared: 0 })
})

test('instructions are counted, inside loops too', () => {
  expect(audit.get(name)).toEqual({
    scalarLoads: 2,
    scalarLoadsInLoops: 1,
    vectorLoads: 1,
    vectorStores: 1,
    scalarStores: 1,
    mma: 1,
  })
})

test('what was written down passes', () => {
  expect(compare('copy', describe(resources, audit), resources, audit)).toEqual([])
})

test('a kernel that is not written down, or not there, is found', () => {
  expect(compare('copy', undefined, resources, audit)).toHaveLength(1)
  expect(compare('copy', describe(resources, audit), new Map(), new Map())).toHaveLength(1)
})

test('more registers, spills, lost vector loads and new scalar ones are found', () => {
  const expected = describe(resources, audit)
  const slower = measured(56, 8, ptx.replace('ld.global.v4.u32', 'ld.global.u32').replace('mma.sync', 'fma'))
  const wrong = compare('copy', expected, slower.resources, slower.audit).join('\n')
  expect(wrong).toMatch(/sm_90 spills 8 bytes/)
  expect(wrong).toMatch(/sm_90 has 56 registers, at most 48/)
  expect(wrong).toMatch(/0 vectorLoads in PTX, at least 1/)
  expect(wrong).toMatch(/2 scalarLoadsInLoops in PTX, at most 1/)
  expect(wrong).toMatch(/0 mma in PTX, at least 1/)
  expect(wrong.split('\n')).toHaveLength(6)
})

test('fewer registers than written down pass', () => {
  const fewer = measured(40)
  expect(compare('copy', describe(resources, audit), fewer.resources, fewer.audit)).toEqual([])
})

test('occupancy is what registers, shared memory and warps leave', () => {
  const used = { threads: 128, registers: 64, shared: 0, staticShared: 0, stack: 0, spills: 0, barriers: 0 }
  expect(occupancyOf({ ...used, registers: 32 })).toEqual({ blocks: 16, warps: 64 })
  expect(occupancyOf(used)).toEqual({ blocks: 8, warps: 32 })
  expect(occupancyOf({ ...used, registers: 128 })).toEqual({ blocks: 4, warps: 16 })
  expect(occupancyOf({ ...used, shared: 56 * 1024 })).toEqual({ blocks: 4, warps: 16 })
  expect(occupancyOf({ ...used, shared: 100 * 1024 })).toEqual({ blocks: 2, warps: 8 })
})
