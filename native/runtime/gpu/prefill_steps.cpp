// Attention of prefilled rows, and what they pay each KV row.
#include <algorithm>

#include "device_arena.h"
#include "device_steps.h"
#include "launch_step.h"
#include "mirrored_arena.h"
#include "tiered_device_arena.h"

namespace kvasir::gpu {
namespace {

KvasirBatch batchOnDevice(const DeviceProgram& program, const Run& run, const BatchSources& sources) {
  const Batch batch = sources.of(run);
  KvasirBatch own{};
  own.numSequences = batch.numSequences;
  own.numRows = batch.numSequences > 0 ? batch.rowStarts[batch.numSequences] : 0;
  own.rowStarts = program.indices(run, sources.rowStarts);
  own.contextTokens = program.indices(run, sources.contextTokens);
  own.pageStarts = program.indices(run, sources.pageStarts);
  own.pages = program.indices(run, sources.pages);
  own.positions = batch.positions != nullptr ? program.indices(run, sources.positions) : nullptr;
  return own;
}

// Rows of a tiered arena are read where they are staged. False: the run is cancelled.
template <class Args>
bool stageRows(Context& context, Arena* arena, const Batch& batch, Args& args) {
  if (args.batch.numRows == 0) return true;
  StagedRows staged{};
  if (auto* tier = dynamic_cast<TieredDeviceArena*>(arena)) staged = tier->stage(args.layer, batch);
  else if (auto* mirrored = dynamic_cast<MirroredArena*>(arena)) staged = mirrored->stage(context, args.layer, batch);
  else return true;
  if (staged.pages == nullptr) return false;
  args.kv = staged.view;
  args.layer = 0;
  args.batch.pages = staged.pages;
  return true;
}

int longestContext(const Batch& batch) {
  if (batch.numSequences == 0) return 0;
  return *std::max_element(batch.contextTokens, batch.contextTokens + batch.numSequences);
}

class AttendPrefillOnDevice final : public Step {
 public:
  AttendPrefillOnDevice(const DeviceProgram& program, const AttentionStep& step, const KvasirAttendPrefillArgs& args)
      : program_(program), arena_(step.arena), batch_(step.batch), args_(args) {}

  void execute(Context& context, Run& run) const override {
    Session& session = program_.session();
    KvasirAttendPrefillArgs args = args_;
    args.batch = batchOnDevice(program_, run, batch_);
    args.maxTokens = longestContext(batch_.of(run));
    if (!stageRows(context, arena_, batch_.of(run), args)) return;
    const int rows = args.batch.numRows, sequences = args.batch.numSequences, kvHeads = args.kv.numKvHeads;
    args.workspaceBytes = kvasirAttendPrefillWorkspaceBytes(rows, sequences, args.numHeads, kvHeads, args.kv.headDim, args.maxTokens);
    if (args.workspaceBytes > 0) {
      const std::size_t tickets = kvasirAttendPrefillTicketBytes(rows, sequences, args.numHeads, kvHeads);
      args.workspace = session.prefillWorkspace.reserve(session.stream, args.workspaceBytes, tickets);
    }
    session.stream.launch(&KvasirGpuV1::attendPrefill, "attendPrefill", args);
  }

 private:
  const DeviceProgram& program_;
  Arena* arena_;
  BatchSources batch_;
  KvasirAttendPrefillArgs args_;
};

class AttentionMassOnDevice final : public Step {
 public:
  AttentionMassOnDevice(const DeviceProgram& program, const AttentionStep& step, const KvasirAttentionMassArgs& args)
      : program_(program), arena_(step.arena), batch_(step.batch), args_(args) {}

  void execute(Context& context, Run& run) const override {
    Session& session = program_.session();
    KvasirAttentionMassArgs args = args_;
    args.batch = batchOnDevice(program_, run, batch_);
    if (args.batch.numRows == 0) return;
    args.maxTokens = longestContext(batch_.of(run));
    if (!stageRows(context, arena_, batch_.of(run), args)) return;
    const int rows = args.batch.numRows, kvHeads = args.kv.numKvHeads;
    args.workspaceBytes = kvasirAttentionMassWorkspaceBytes(rows, args.numHeads, kvHeads, args.kv.headDim, args.maxTokens);
    args.workspace = session.massWorkspace.reserve(session.stream, args.workspaceBytes,
                                                   kvasirAttendPrefillTicketBytes(rows, 1, args.numHeads, kvHeads));
    session.stream.launch(&KvasirGpuV1::attentionMass, "attentionMass", args);
  }

 private:
  const DeviceProgram& program_;
  Arena* arena_;
  BatchSources batch_;
  KvasirAttentionMassArgs args_;
};

}  // namespace

std::unique_ptr<Step> onDevice(DeviceProgram& program, const AttendPrefillStep& step) {
  program.touches(*step.arena, step.layer);
  KvasirAttendPrefillArgs args{};
  args.kv = deviceViewOf(*step.arena);
  const RowCount rows{RowCount::lastStart, {}, step.batch.rowStarts};
  const auto numHeads = static_cast<std::size_t>(step.numHeads);
  const std::size_t rowValues = numHeads * static_cast<std::size_t>(args.kv.headDim);
  args.layer = step.layer;
  args.numHeads = step.numHeads;
  args.scale = step.scale;
  args.windowTokens = step.windowTokens;
  args.q = program.reads(step.q, rowValues, rows);
  args.out = program.writes(step.out, rowValues, rows);
  if (step.lse != nullptr) args.lse = program.writes(step.lse, numHeads, rows);
  return std::make_unique<AttendPrefillOnDevice>(program, step, args);
}

std::unique_ptr<Step> onDevice(DeviceProgram& program, const AttentionMassStep& step) {
  program.touches(*step.arena, step.layer);
  KvasirAttentionMassArgs args{};
  args.kv = deviceViewOf(*step.arena);
  const RowCount rows{RowCount::lastStart, {}, step.batch.rowStarts};
  const auto numHeads = static_cast<std::size_t>(step.numHeads);
  args.layer = step.layer;
  args.numHeads = step.numHeads;
  args.scale = step.scale;
  args.windowTokens = step.windowTokens;
  args.q = program.reads(step.q, numHeads * static_cast<std::size_t>(args.kv.headDim), rows);
  if (step.lse != nullptr) args.lse = program.reads(step.lse, numHeads, rows);
  args.massStride = static_cast<std::size_t>(step.massStride);
  program.reads(step.mass, args.massStride, rowsOf({Extent::fixed, step.numHeads}));
  args.mass = program.writes(step.mass, args.massStride, rowsOf({Extent::fixed, step.numHeads}));
  return std::make_unique<AttentionMassOnDevice>(program, step, args);
}

}  // namespace kvasir::gpu
