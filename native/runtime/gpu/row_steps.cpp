// Ops over rows of activations.
#include <string>

#include "device_steps.h"
#include "launch_step.h"

namespace kvasir::gpu {

void requireMultiple(const char* parameter, int value, int of) {
  if (value % of != 0) throw Failure{parameter, "a multiple of " + std::to_string(of) + " on a GPU", std::to_string(value)};
}

std::unique_ptr<Step> onDevice(DeviceProgram& program, const RopeStep& step) {
  requireMultiple("headDim", step.headDim, 4);
  const std::size_t values = static_cast<std::size_t>(step.numHeads) * static_cast<std::size_t>(step.headDim);
  const std::size_t pairs = static_cast<std::size_t>(step.rotaryDim / 2);
  KvasirRopeRowsArgs args{};
  args.cos = program.reads(step.cos, pairs, rowsOf(step.rows));
  args.sin = program.reads(step.sin, pairs, rowsOf(step.rows));
  program.reads(step.x, values, rowsOf(step.rows));
  args.x = program.writes(step.x, values, rowsOf(step.rows));
  args.numHeads = step.numHeads;
  args.headDim = step.headDim;
  args.rotaryDim = step.rotaryDim;
  args.pairing = step.pairing == RopePairing::half ? KVASIR_PAIRS_HALF : KVASIR_PAIRS_INTERLEAVED;
  return launchStep(program, &KvasirGpuV1::ropeRows, "rope", [args, rows = step.rows](const Run& run) {
    KvasirRopeRowsArgs own = args;
    own.rows = run.counts.of(rows);
    return own;
  });
}

std::unique_ptr<Step> onDevice(DeviceProgram& program, const GatherRowsStep& step) {
  requireMultiple("dim", step.dim, 4);
  const std::size_t dim = static_cast<std::size_t>(step.dim);
  KvasirGatherRowsArgs args{};
  args.x = program.reads(step.x, dim, {RowCount::largestIndex, step.rows, step.ids});
  args.out = program.writes(step.out, dim, rowsOf(step.rows));
  args.rowBytes = args.xStride = args.outStride = dim * sizeof(float);
  return launchStep(program, &KvasirGpuV1::gatherRows, "gatherRows", [&program, args, step](const Run& run) {
    KvasirGatherRowsArgs own = args;
    own.ids = program.indices(run, step.ids);
    own.rows = run.counts.of(step.rows);
    return own;
  });
}

}  // namespace kvasir::gpu
