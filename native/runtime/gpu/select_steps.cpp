// Selection of a layer's rows: on the device where one rule of its op says it for all sequences of a run, else on the host.
#include <algorithm>
#include <chrono>

#include "device_run_lists.h"
#include "device_steps.h"
#include "kept_bits.h"
#include "launch_step.h"
#include "selection_rule.h"
#include "tiered_device_arena.h"

namespace kvasir::gpu {
namespace {

class SelectRunsOnDevice final : public Step {
 public:
  SelectRunsOnDevice(const DeviceProgram& program, const SelectRunsStep& step, const float* q) : program_(program), step_(step), q_(q) {}

  // All that a launch reads and the host knows is there before the first step: steps of a run are launches alone.
  void prepare(Run& run) const override {
    const std::optional<SelectionRule> rule = SelectionRule::of(run, step_);
    isOnDevice_ = rule.has_value();
    if (!isOnDevice_) return;
    const auto start = std::chrono::steady_clock::now();
    Session& session = program_.session();
    const Batch batch = step_.batch.of(run);
    const SelectionBounds bounds = SelectionBounds::of(run, step_, *rule);
    step_.lists->bringHome(batch.numSequences);
    lists_ = DeviceRunLists::beside(program_.sharedSession(), *step_.lists);
    lists_->reserve(batch, bounds.maxListTokens, bounds.maxRuns);
    const std::size_t countBytes = static_cast<std::size_t>(2 * batch.numSequences * step_.lists->numKvHeads()) * sizeof(std::int32_t);
    if (counts_.bytes() < countBytes) counts_ = PinnedMemory(session.device, countBytes);

    args_ = {};
    args_.kv = deviceViewOf(*step_.arena);
    if (auto* tier = dynamic_cast<TieredDeviceArena*>(step_.arena)) args_.hot = tier->hotRows();
    args_.layer = step_.layer;
    args_.numHeads = step_.numHeads;
    args_.q = args_.estimateQ = q_;
    args_.scale = step_.scale;
    args_.index = rule->index;
    args_.sequences = sequences(run, batch);
    args_.numSequences = batch.numSequences;
    args_.maxTokens = bounds.maxTokens;
    args_.maxSegments = bounds.maxSegments;
    args_.budgetTokens = rule->budget.budgetTokens;
    args_.sinkTokens = rule->budget.sinkTokens;
    args_.recentTokens = rule->budget.recentTokens;
    args_.poolTokens = rule->poolTokens;
    args_.jointHeads = rule->budget.jointHeads ? 1 : 0;
    args_.exact = rule->exact ? 1 : 0;
    args_.allCoded = bounds.allCoded ? 1 : 0;
    args_.rowStarts = lists_->rowStarts();
    args_.runs = lists_->runs();
    args_.maxRuns = lists_->maxRuns();
    args_.counts = reinterpret_cast<std::int32_t*>(counts_.mapped());
    // Before the first launch of the run: a workspace that grows waits for nothing.
    session.selectWorkspace.reserve(session.stream, kvasirSelectRunsBytes(&args_), 0);
    ms_ = elapsedMs(start);
  }

  void execute(Context& context, Run& run) const override {
    if (!isOnDevice_) return onHost(context, run);
    const auto start = std::chrono::steady_clock::now();
    Session& session = program_.session();
    // Another layer may have made it grow since.
    args_.workspace = session.selectWorkspace.reserve(session.stream, kvasirSelectRunsBytes(&args_), 0);
    session.stream.launch(&KvasirGpuV1::selectRuns, "selectRuns", args_);
    step_.lists->leave(lists_, args_.numSequences);
    ms_ += elapsedMs(start);
  }

  void finish(Run& run) const override {
    if (!isOnDevice_) return;
    step_.lists->leave(lists_, args_.numSequences);
    const auto* counted = reinterpret_cast<const std::int32_t*>(counts_.data());
    const int rows = step_.lists->numKvHeads();
    for (int s = 0; s < args_.numSequences; ++s) {
      SelectCounts& counts = run.selectors[static_cast<std::size_t>(s)].selector->counts;
      counts.calls += 1;
      counts.ms += ms_ / args_.numSequences;
      for (int row = 0; row < rows; ++row, counted += 2) {
        counts.attended += counted[0];
        counts.pooled += counted[1];
      }
    }
  }

 private:
  static double elapsedMs(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  }

  // What differs from step to step, in device memory.
  const KvasirSelectSequence* sequences(const Run& run, const Batch& batch) const {
    Session& session = program_.session();
    std::vector<KvasirSelectSequence> all(static_cast<std::size_t>(batch.numSequences));
    for (int s = 0; s < batch.numSequences; ++s) {
      KvasirSelectSequence& own = all[static_cast<std::size_t>(s)];
      own.numTokens = batch.contextTokens[s];
      own.pages = program_.indices(run, step_.batch.pages) + batch.pageStarts[s];
      if (const SegmentIndex* index = indexOf(run.selectors[static_cast<std::size_t>(s)])) {
        own.indexedTokens = index->numTokens();
        own.codedTokens = index->codedTokens();
        own.numSegments = own.codedTokens > 0 ? index->numSegments() : 0;
        if (const DeviceIndex* codes = DeviceIndex::of(*index)) codes->describe(own);
      }
      const KeptRows* kept = run.kept[static_cast<std::size_t>(s)];
      if (kept == nullptr) continue;
      own.kept = keptBitsOnDevice(session, *kept, step_.layer);
      own.keptStride = static_cast<std::int32_t>(kept->view(step_.layer).stride);
      own.keptEnd = kept->view(step_.layer).endTokens;
    }
    return program_.shared(all);
  }

  // Native selectors there read K rows from the device, after the queries have come back.
  void onHost(Context& context, Run& run) const {
    // Others are written anew.
    const auto isGiven = [](const SelectorChoice& choice) { return choice.kind == SelectorChoice::given; };
    if (std::any_of(run.selectors.begin(), run.selectors.end(), isGiven)) program_.bringHome(*step_.lists);
    const auto isNative = [](const SelectorChoice& choice) { return choice.kind == SelectorChoice::native; };
    SelectRunsStep own = step_;
    if (std::any_of(run.selectors.begin(), run.selectors.end(), isNative)) own.q = queries(run);
    own.execute(context, run);
  }

  const float* queries(const Run& run) const {
    Session& session = program_.session();
    const std::size_t rowBytes = static_cast<std::size_t>(step_.numHeads) * static_cast<std::size_t>(step_.arena->shape.headDim) * sizeof(float);
    const std::size_t bytes = static_cast<std::size_t>(run.counts.sequences) * rowBytes;
    if (session.queries.bytes() < bytes) session.queries = PinnedMemory(session.device, bytes);
    session.stream.copy(session.queries.data(), q_, bytes);
    session.stream.synchronize();
    return reinterpret_cast<const float*>(session.queries.data());
  }

  const DeviceProgram& program_;
  SelectRunsStep step_;
  const float* q_;

  // Of the run under way: one at a time, on the executor's thread.
  mutable bool isOnDevice_ = false;
  mutable KvasirSelectRunsArgs args_{};
  mutable std::shared_ptr<DeviceRunLists> lists_;
  mutable PinnedMemory counts_;  // [numSequences][numKvHeads][2], written by the device
  mutable double ms_ = 0;
};

}  // namespace

std::unique_ptr<Step> onDevice(DeviceProgram& program, const SelectRunsStep& step) {
  program.touches(*step.arena, step.layer);
  const std::size_t rowValues = static_cast<std::size_t>(step.numHeads) * static_cast<std::size_t>(step.arena->shape.headDim);
  const float* q = program.reads(step.q, rowValues, rowsOf({Extent::sequences}));
  return std::make_unique<SelectRunsOnDevice>(program, step, q);
}

}  // namespace kvasir::gpu
