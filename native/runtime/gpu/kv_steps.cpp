// Ops over new KV rows and the rows that an arena holds.
#include <string>

#include "device_arena.h"
#include "device_steps.h"
#include "launch_step.h"
#include "mirrored_arena.h"
#include "tiered_device_arena.h"

namespace kvasir::gpu {

KvasirKvView deviceViewOf(const Arena& arena) {
  if (const auto* mirrored = dynamic_cast<const MirroredArena*>(&arena)) return mirrored->deviceView();
  const auto* own = dynamic_cast<const DeviceArena*>(&arena);
  if (own == nullptr) throw Failure{"arena", "one on the GPU", "one in host memory"};
  return own->deviceView();
}

void requireHeadDim(const KvasirKvView& view) {
  if (view.headDim % 16 == 0 && view.headDim <= 256) return;
  throw Failure{"headDim", "a multiple of 16, at most 256, for attention on a GPU", std::to_string(view.headDim)};
}

namespace {

// New rows of a tiered arena.
class WriteTieredOnDevice final : public Step {
 public:
  WriteTieredOnDevice(const DeviceProgram& program, TieredDeviceArena& arena, const WriteKvStep& step, const KvasirWriteKvArgs& args)
      : program_(program), arena_(arena), step_(step), args_(args) {}

  void execute(Context&, Run& run) const override {
    KvasirWriteKvArgs args = args_;
    args.rows = run.counts.of(step_.rows);
    args.to.slots = program_.distinctSlots(run, step_.slots, args.rows);
    arena_.write(args, run.indices(step_.slots));
  }

 private:
  const DeviceProgram& program_;
  TieredDeviceArena& arena_;
  WriteKvStep step_;
  KvasirWriteKvArgs args_;
};

// Of an arena whose rows the host keeps: they come down.
class WriteMirrored final : public Step {
 public:
  WriteMirrored(MirroredArena& arena, const WriteKvStep& step, const KvasirWriteKvArgs& args) : arena_(arena), step_(step), args_(args) {}

  void execute(Context& context, Run& run) const override {
    arena_.store(context, step_.layer, args_.keys, args_.values, run.indices(step_.slots), run.counts.of(step_.rows));
  }

 private:
  MirroredArena& arena_;
  WriteKvStep step_;
  KvasirWriteKvArgs args_;
};

class CompareMirrored final : public Step {
 public:
  CompareMirrored(MirroredArena& arena, const CompareKvStep& step, const KvasirCompareKvArgs& args) : arena_(arena), step_(step), args_(args) {}

  void execute(Context& context, Run& run) const override {
    const int rows = run.counts.of(step_.rows);
    arena_.compare(context, step_.layer, args_.keys, args_.values, run.indices(step_.slots), rows, args_.out);
  }

 private:
  MirroredArena& arena_;
  CompareKvStep step_;
  KvasirCompareKvArgs args_;
};

}  // namespace

std::unique_ptr<Step> onDevice(DeviceProgram& program, const WriteKvStep& step) {
  program.touches(*step.arena, step.layer);
  KvasirWriteKvArgs args{};
  args.to.kv = deviceViewOf(*step.arena);
  args.to.layer = step.layer;
  const std::size_t rowValues = static_cast<std::size_t>(args.to.kv.numKvHeads) * static_cast<std::size_t>(args.to.kv.headDim);
  args.keys = program.reads(step.keys, rowValues, rowsOf(step.rows));
  args.values = program.reads(step.values, rowValues, rowsOf(step.rows));
  if (auto* tier = dynamic_cast<TieredDeviceArena*>(step.arena)) return std::make_unique<WriteTieredOnDevice>(program, *tier, step, args);
  if (auto* mirrored = dynamic_cast<MirroredArena*>(step.arena)) return std::make_unique<WriteMirrored>(*mirrored, step, args);
  return launchStep(program, &KvasirGpuV1::writeKv, "writeKv",
                    [&program, args, slots = step.slots, rows = step.rows](const Run& run) {
                      KvasirWriteKvArgs own = args;
                      own.rows = run.counts.of(rows);
                      own.to.slots = program.distinctSlots(run, slots, own.rows);
                      return own;
                    });
}

std::unique_ptr<Step> onDevice(DeviceProgram& program, const CompareKvStep& step) {
  program.touches(*step.arena, step.layer);
  KvasirCompareKvArgs args{};
  args.at.kv = deviceViewOf(*step.arena);
  args.at.layer = step.layer;
  const std::size_t rowValues = static_cast<std::size_t>(args.at.kv.numKvHeads) * static_cast<std::size_t>(args.at.kv.headDim);
  args.keys = program.reads(step.keys, rowValues, rowsOf(step.rows));
  args.values = program.reads(step.values, rowValues, rowsOf(step.rows));
  args.out = program.writes(step.out, 2, rowsOf(step.rows));
  if (auto* mirrored = dynamic_cast<MirroredArena*>(step.arena)) return std::make_unique<CompareMirrored>(*mirrored, step, args);
  return launchStep(program, &KvasirGpuV1::compareKv, "compareKv",
                    [&program, args, slots = step.slots, rows = step.rows](const Run& run) {
                      KvasirCompareKvArgs own = args;
                      own.rows = run.counts.of(rows);
                      own.at.slots = program.indices(run, slots);
                      return own;
                    });
}

}  // namespace kvasir::gpu
