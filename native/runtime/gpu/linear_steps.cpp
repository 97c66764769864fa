// Ops over weights, and the element-wise ones around them.
#include <algorithm>

#include "device_steps.h"
#include "launch_step.h"

namespace kvasir::gpu {
namespace {

KvasirWeight weightOf(const Weight& weight) {
  return {weight.data, static_cast<std::int32_t>(weight.type), weight.rows, weight.cols};
}

// Parts that share x go KVASIR_LINEAR_PARTS at a time.
class LinearOnDevice final : public Step {
 public:
  // `handed` holds x in halves; null: the fast mode makes them.
  LinearOnDevice(const DeviceProgram& program, std::vector<KvasirLinearArgs> launches, Extent rows, HandedRowsPtr handed)
      : program_(program), launches_(std::move(launches)), rows_(rows), handed_(std::move(handed)) {}

  void execute(Context&, Run& run) const override {
    Session& session = program_.session();
    const int rows = run.counts.of(rows_);
    for (std::size_t i = 0; i < launches_.size(); ++i) {
      KvasirLinearArgs args = launches_[i];
      args.rows = rows;
      if (handed_ != nullptr) {
        args.prepared = handed_->in(session, run);
      } else if (args.mode == KVASIR_LINEAR_FAST) {
        args.prepared = halfRowsIn(session.linearWorkspace, session.stream, rows, args.parts[0].weight.cols);
        // The first one prepares x for all.
        if (i > 0) args.x = nullptr;
      }
      session.stream.launch(&KvasirGpuV1::linear, "linear", args);
    }
  }

 private:
  const DeviceProgram& program_;
  std::vector<KvasirLinearArgs> launches_;
  Extent rows_;
  HandedRowsPtr handed_;
};

// A step that writes rows of one vector each, which linear ops may take in halves.
template <class Args>
std::unique_ptr<Step> handingStep(const DeviceProgram& program, int (*KvasirGpuV1::*op)(KvasirStream*, const Args*), const char* name,
                                  const Args& args, Extent rows, HandedRowsPtr handed) {
  return launchStep(program, op, name, [&program, args, rows, handed](const Run& run) {
    Args own = args;
    own.rows = run.counts.of(rows);
    if (handed == nullptr || !handed->halves) return own;
    own.prepared = handed->in(program.session(), run);
    if (!handed->floats) own.out = nullptr;
    return own;
  });
}

}  // namespace

std::unique_ptr<Step> onDevice(DeviceProgram& program, const LinearStep& step) {
  const auto cols = static_cast<std::size_t>(step.parts[0].weight->cols);
  const bool fast = step.mode == LinearMode::fast;
  HandedRowsPtr handed = fast ? program.takesHalves(step.x, step.parts[0].weight->cols, step.rows) : nullptr;
  const float* x = handed != nullptr ? nullptr : program.reads(step.x, cols, rowsOf(step.rows));
  std::vector<KvasirLinearArgs> launches;
  for (const LinearPart& part : step.parts) {
    if (launches.empty() || launches.back().numParts == KVASIR_LINEAR_PARTS) {
      KvasirLinearArgs args{};
      args.x = x;
      args.xStride = cols;
      args.path = step.path == LinearPath::decode ? KVASIR_LINEAR_DECODE : KVASIR_LINEAR_PREFILL;
      args.mode = fast ? KVASIR_LINEAR_FAST : KVASIR_LINEAR_EXACT;
      launches.push_back(args);
    }
    if (part.weight->rows == 0) continue;
    const auto outFeatures = static_cast<std::size_t>(part.weight->rows);
    if (part.accumulate) program.reads(part.out, outFeatures, rowsOf(step.rows));
    KvasirLinearArgs& args = launches.back();
    KvasirLinearPart& own = args.parts[args.numParts++];
    own.weight = weightOf(*part.weight);
    own.bias = part.bias != nullptr ? program.reads(part.bias, outFeatures, rowsOf({Extent::fixed, 1})) : nullptr;
    own.out = program.writes(part.out, outFeatures, rowsOf(step.rows));
    own.outStride = outFeatures;
    own.accumulate = part.accumulate ? 1 : 0;
  }
  const auto isEmpty = [](const KvasirLinearArgs& args) { return args.numParts == 0; };
  launches.erase(std::remove_if(launches.begin(), launches.end(), isEmpty), launches.end());
  return std::make_unique<LinearOnDevice>(program, std::move(launches), step.rows, std::move(handed));
}

std::unique_ptr<Step> onDevice(DeviceProgram& program, const EmbedRowsStep& step) {
  const auto cols = static_cast<std::size_t>(step.table->cols);
  KvasirEmbedRowsArgs args{};
  args.table = weightOf(*step.table);
  args.out = program.writes(step.out, cols, rowsOf(step.rows));
  args.outStride = cols;
  return launchStep(program, &KvasirGpuV1::embedRows, "embedRows",
                    [&program, args, ids = step.ids, rows = step.rows](const Run& run) {
                      KvasirEmbedRowsArgs own = args;
                      own.ids = program.indices(run, ids);
                      own.rows = run.counts.of(rows);
                      return own;
                    });
}

std::unique_ptr<Step> onDevice(DeviceProgram& program, const RmsNormStep& step) {
  const auto dim = static_cast<std::size_t>(step.dim);
  const std::size_t rowValues = static_cast<std::size_t>(step.groups) * dim;
  KvasirRmsNormArgs args{};
  args.weight = program.reads(step.weight, dim, rowsOf({Extent::fixed, 1}));
  args.x = program.reads(step.x, rowValues, rowsOf(step.rows));
  args.out = program.writes(step.out, rowValues, rowsOf(step.rows));
  args.eps = step.eps;
  args.groups = step.groups;
  args.dim = step.dim;
  HandedRowsPtr handed = step.groups == 1 ? program.offersHalves(step.out, step.dim, step.rows) : nullptr;
  return handingStep(program, &KvasirGpuV1::rmsNorm, "rmsNorm", args, step.rows, std::move(handed));
}

std::unique_ptr<Step> onDevice(DeviceProgram& program, const SiluGateStep& step) {
  const auto dim = static_cast<std::size_t>(step.dim);
  KvasirSiluGateArgs args{};
  args.gate = program.reads(step.gate, dim, rowsOf(step.rows));
  args.up = program.reads(step.up, dim, rowsOf(step.rows));
  args.out = program.writes(step.out, dim, rowsOf(step.rows));
  args.dim = step.dim;
  HandedRowsPtr handed = program.offersHalves(step.out, step.dim, step.rows);
  return handingStep(program, &KvasirGpuV1::siluGate, "siluGate", args, step.rows, std::move(handed));
}

}  // namespace kvasir::gpu
