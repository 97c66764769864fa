// Decode attention over lists that the host has made or an op has chosen.
#include <algorithm>
#include <string>

#include "device_run_lists.h"
#include "device_steps.h"
#include "launch_step.h"
#include "mirrored_arena.h"
#include "tiered_device_arena.h"

namespace kvasir::gpu {
namespace {

static_assert(sizeof(KvRun) == sizeof(KvasirKvRun), "runs are sent as they are");

int longestList(const RunRows& rows, int numRows) {
  int longest = 0;
  for (int row = 0; row < numRows; ++row) {
    int tokens = 0;
    for (int at = rows.rowStarts[row]; at < rows.rowStarts[row + 1]; ++at) tokens += rows.runs[at].len;
    longest = std::max(longest, tokens);
  }
  return longest;
}

// At least so many, at most a quarter more or up to 64: a list that grows by a token a step seldom changes its launches.
int bound(int tokens) {
  int step = 64;
  while (8 * step < tokens) step *= 2;
  return (tokens + step - 1) / step * step;
}

class AttendRunsOnDevice final : public Step {
 public:
  AttendRunsOnDevice(const DeviceProgram& program, const AttendRunsStep& step, const KvasirAttendRunsArgs& args)
      : program_(program), step_(step), args_(args) {}

  void execute(Context& context, Run& run) const override {
    const Batch batch = step_.batch.of(run);
    if (auto* mirrored = dynamic_cast<MirroredArena*>(step_.arena)) return attendMirrored(context, run, batch, *mirrored);
    DeviceRunLists* chosen = DeviceRunLists::of(*step_.lists, batch.numSequences);
    if (chosen == nullptr || !chosen->isHeldBy(batch)) {
      program_.bringHome(*step_.lists);
      requireHeldRows(*step_.lists, batch);
    }
    const DeviceLists lists = program_.lists(*step_.lists, batch.numSequences, step_.numHeads);
    KvasirAttendRunsArgs args = args_;
    args.numSequences = batch.numSequences;
    args.pageStarts = program_.indices(run, step_.batch.pageStarts);
    args.pages = program_.indices(run, step_.batch.pages);
    args.rows = lists.rows;
    args.maxTokens = lists.maxTokens;
    if (auto* tier = dynamic_cast<TieredDeviceArena*>(step_.arena)) tier->bring(args, lists.numRows);
    launch(args, lists.numRows);
  }

 private:
  // The host decides what comes up, so it has to know the lists.
  void attendMirrored(Context& context, Run& run, const Batch& batch, MirroredArena& arena) const {
    program_.bringHome(*step_.lists);
    if (context.cancelled()) return;
    requireHeldRows(*step_.lists, batch);
    const RunRows rows = step_.lists->rows(batch.numSequences);
    const int rowsOfSequence = rows.perQueryHead ? step_.numHeads : step_.lists->numKvHeads();
    KvasirAttendRunsArgs args = args_;
    args.numSequences = batch.numSequences;
    if (!arena.bring(context, batch, rows, rowsOfSequence, args)) return;
    args.maxTokens = bound(args.maxTokens);
    launch(args, batch.numSequences * rowsOfSequence);
    prefetchLikely(run, batch, step_.layer, *step_.lists, arena);
  }

  void launch(KvasirAttendRunsArgs& args, int numRows) const {
    Session& session = program_.session();
    const int group = args.rows.perQueryHead ? 1 : step_.numHeads / args.kv.numKvHeads;
    args.workspaceBytes = kvasirAttendWorkspaceBytes(numRows, group, args.kv.headDim, args.maxTokens);
    args.workspace = session.attendWorkspace.reserve(session.stream, args.workspaceBytes, kvasirAttendTicketBytes(numRows, group));
    session.stream.launch(&KvasirGpuV1::attendRuns, "attendRuns", args);
  }

  const DeviceProgram& program_;
  AttendRunsStep step_;
  KvasirAttendRunsArgs args_;
};

}  // namespace

void DeviceProgram::bringHome(RunLists& lists) const {
  if (!lists.isAway()) return;
  session_->stream.synchronize();
  lists.bringHome();
}

// Lists that several layers read are sent once.
DeviceLists DeviceProgram::lists(RunLists& lists, int numSequences, int numHeads) const {
  if (const DeviceRunLists* chosen = DeviceRunLists::of(lists, numSequences)) return chosen->lists(numSequences);
  bringHome(lists);
  SentLists& sent = lists_[&lists];
  if (sent.sent && sent.version == lists.version()) return sent.lists;
  const RunRows rows = lists.rows(numSequences);
  const int numRows = numSequences * (rows.perQueryHead ? numHeads : lists.numKvHeads());
  DeviceLists& own = sent.lists;
  own.numRows = numRows;
  own.maxTokens = bound(longestList(rows, numRows));
  own.rows.rowStarts = session_->uploads.push(rows.rowStarts, static_cast<std::size_t>(numRows) + 1);
  const auto* runs = reinterpret_cast<const KvasirKvRun*>(rows.runs);
  own.rows.runs = session_->uploads.push(runs, numRows > 0 ? static_cast<std::size_t>(rows.rowStarts[numRows]) : 0);
  own.rows.perQueryHead = rows.perQueryHead;
  sent.version = lists.version();
  sent.sent = true;
  return own;
}

std::unique_ptr<Step> onDevice(DeviceProgram& program, const AttendRunsStep& step) {
  program.touches(*step.arena, step.layer);
  KvasirAttendRunsArgs args{};
  args.kv = deviceViewOf(*step.arena);
  requireHeadDim(args.kv);
  const Extent sequences{Extent::sequences};
  const auto numHeads = static_cast<std::size_t>(step.numHeads);
  const std::size_t rowValues = numHeads * static_cast<std::size_t>(args.kv.headDim);
  args.layer = step.layer;
  args.numHeads = step.numHeads;
  args.scale = step.scale;
  args.q = program.reads(step.q, rowValues, rowsOf(sequences));
  args.out = program.writes(step.out, rowValues, rowsOf(sequences));
  if (step.lse != nullptr) args.lse = program.writes(step.lse, numHeads, rowsOf(sequences));
  return std::make_unique<AttendRunsOnDevice>(program, step, args);
}

}  // namespace kvasir::gpu
