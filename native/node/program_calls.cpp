#include <memory>
#include <string>
#include <vector>

#include "../runtime/gpu/device_steps.h"
#include "../runtime/steps.h"
#include "arguments.h"
#include "calls.h"
#include "op_fields.h"

namespace kvasir::node {
namespace {

constexpr Extent one{Extent::fixed, 1};
constexpr Extent tokens{Extent::tokens};
constexpr Extent sequences{Extent::sequences};

std::unique_ptr<EmbedRowsStep> embedRowsStep(const OpFields& op) {
  auto step = std::make_unique<EmbedRowsStep>();
  step->rows = op.rows();
  step->table = &op.handle<StoredWeight>("table").weight;
  step->ids = op.indices("ids", step->rows);
  step->out = op.floats("out", step->table->cols, step->rows);
  return step;
}

std::unique_ptr<RmsNormStep> rmsNormStep(const OpFields& op) {
  auto step = std::make_unique<RmsNormStep>();
  step->rows = op.rows();
  step->groups = op.integer("groups");
  step->dim = op.integer("dim");
  step->eps = op.number("eps");
  step->weight = op.floats("weight", step->dim, one);
  step->x = op.floats("x", step->groups * step->dim, step->rows);
  step->out = op.floats("out", step->groups * step->dim, step->rows);
  return step;
}

std::unique_ptr<LinearStep> linearStep(const OpFields& op, Program& program) {
  auto step = std::make_unique<LinearStep>();
  step->rows = op.rows();
  step->path = op.is("path", "decode") ? LinearPath::decode : LinearPath::prefill;
  step->mode = op.is("mode", "exact") ? LinearMode::exact : LinearMode::fast;
  const Napi::Array parts = op["parts"].As<Napi::Array>();
  for (std::uint32_t i = 0; i < parts.Length(); ++i) {
    const OpFields part(parts.Get(i).As<Napi::Object>(), program);
    const Weight* weight = &part.handle<StoredWeight>("weight").weight;
    const float* bias = part.has("bias") ? part.floats("bias", weight->rows, one) : nullptr;
    float* out = weight->rows > 0 ? part.floats("out", weight->rows, step->rows) : nullptr;
    const bool accumulate = part.has("accumulate") && part["accumulate"].ToBoolean();
    step->parts.push_back({weight, bias, out, static_cast<std::size_t>(weight->rows), accumulate});
  }
  step->x = op.floats("x", step->parts.at(0).weight->cols, step->rows);
  return step;
}

std::unique_ptr<RopeStep> ropeStep(const OpFields& op) {
  auto step = std::make_unique<RopeStep>();
  step->rows = op.rows();
  step->pairing = op.is("pairing", "half") ? RopePairing::half : RopePairing::interleaved;
  step->numHeads = op.integer("numHeads");
  step->headDim = op.integer("headDim");
  step->rotaryDim = op.integer("rotaryDim");
  step->x = op.floats("x", step->numHeads * step->headDim, step->rows);
  step->cos = op.floats("cos", step->rotaryDim / 2, step->rows);
  step->sin = op.floats("sin", step->rotaryDim / 2, step->rows);
  return step;
}

std::unique_ptr<SiluGateStep> siluGateStep(const OpFields& op) {
  auto step = std::make_unique<SiluGateStep>();
  step->rows = op.rows();
  step->dim = op.integer("dim");
  step->gate = op.floats("gate", step->dim, step->rows);
  step->up = op.floats("up", step->dim, step->rows);
  step->out = op.floats("out", step->dim, step->rows);
  return step;
}

std::unique_ptr<GatherRowsStep> gatherRowsStep(const OpFields& op) {
  auto step = std::make_unique<GatherRowsStep>();
  step->rows = op.rows();
  step->dim = op.integer("dim");
  step->x = op.floats("x", step->dim, {Extent::fixed, 0});
  step->ids = op.indices("ids", step->rows);
  step->out = op.floats("out", step->dim, step->rows);
  return step;
}

void readKvRows(const OpFields& op, KvRowsStep& step) {
  Arena& arena = op.handle<Arena>("arena");
  const int rowValues = arena.shape.numKvHeads * arena.shape.headDim;
  step.rows = op.rows();
  step.arena = &arena;
  step.layer = op.integer("layer");
  step.keys = op.floats("keys", rowValues, step.rows);
  step.values = op.floats("values", rowValues, step.rows);
  step.slots = op.indices("slots", step.rows);
}

std::unique_ptr<WriteKvStep> writeKvStep(const OpFields& op) {
  auto step = std::make_unique<WriteKvStep>();
  readKvRows(op, *step);
  return step;
}

std::unique_ptr<CompareKvStep> compareKvStep(const OpFields& op) {
  auto step = std::make_unique<CompareKvStep>();
  readKvRows(op, *step);
  step->out = op.floats("out", 2, step->rows);
  return step;
}

// Returns the values of a row of q.
int readAttention(const OpFields& op, AttentionStep& step, Extent rows) {
  step.arena = &op.handle<Arena>("arena");
  step.layer = op.integer("layer");
  step.numHeads = op.integer("numHeads");
  step.scale = op.number("scale");
  const int rowValues = step.numHeads * step.arena->shape.headDim;
  step.q = op.floats("q", rowValues, rows);
  step.batch = op.batch();
  return rowValues;
}

std::unique_ptr<AttendPrefillStep> attendPrefillStep(const OpFields& op) {
  auto step = std::make_unique<AttendPrefillStep>();
  step->out = op.floats("out", readAttention(op, *step, tokens), tokens);
  if (op.has("positions")) step->batch.positions = op.indices("positions", tokens);
  step->windowTokens = op.integer("windowTokens");
  step->lse = op.has("lse") ? op.floats("lse", step->numHeads, tokens) : nullptr;
  return step;
}

std::unique_ptr<AttentionMassStep> attentionMassStep(const OpFields& op) {
  auto step = std::make_unique<AttentionMassStep>();
  readAttention(op, *step, tokens);
  if (op.has("positions")) step->batch.positions = op.indices("positions", tokens);
  step->windowTokens = op.integer("windowTokens");
  step->lse = op.has("lse") ? op.floats("lse", step->numHeads, tokens) : nullptr;
  step->massStride = op.integer("massStride");
  step->mass = op.floats("mass", step->massStride, {Extent::fixed, step->numHeads});
  return step;
}

RunLists* listsOf(const OpFields& op, const AttentionStep& step) {
  RunLists& lists = op.handle<RunLists>("lists");
  const int numKvHeads = step.arena->shape.numKvHeads;
  const bool fits = lists.numHeads() == numKvHeads || lists.numHeads() == step.numHeads;
  if (lists.numKvHeads() == numKvHeads && fits) return &lists;
  throw Failure{"lists", "lists of as many heads as the op", std::to_string(lists.numHeads())};
}

std::unique_ptr<SelectRunsStep> selectRunsStep(const OpFields& op) {
  auto step = std::make_unique<SelectRunsStep>();
  readAttention(op, *step, sequences);
  step->windowTokens = op.integer("windowTokens");
  step->lists = listsOf(op, *step);
  return step;
}

std::unique_ptr<AttendRunsStep> attendRunsStep(const OpFields& op) {
  auto step = std::make_unique<AttendRunsStep>();
  step->out = op.floats("out", readAttention(op, *step, sequences), sequences);
  step->lse = op.has("lse") ? op.floats("lse", step->numHeads, sequences) : nullptr;
  step->lists = listsOf(op, *step);
  return step;
}

// A program, and the same one if it runs on a device.
struct Target {
  Program& program;
  gpu::DeviceProgram* device;

  template <class S>
  void add(std::unique_ptr<S> step) const {
    if (device != nullptr) program.add(gpu::onDevice(*device, *step));
    else program.add(std::move(step));
  }
};

void addStep(const Target& target, const OpFields& op) {
  const std::string kind = textOf(op["kind"], "kind");
  if (kind == "embedRows") return target.add(embedRowsStep(op));
  if (kind == "rmsNorm") return target.add(rmsNormStep(op));
  if (kind == "linear") return target.add(linearStep(op, target.program));
  if (kind == "rope") return target.add(ropeStep(op));
  if (kind == "siluGate") return target.add(siluGateStep(op));
  if (kind == "gatherRows") return target.add(gatherRowsStep(op));
  if (kind == "writeKv") return target.add(writeKvStep(op));
  if (kind == "compareKv") return target.add(compareKvStep(op));
  if (kind == "attendPrefill") return target.add(attendPrefillStep(op));
  if (kind == "attentionMass") return target.add(attentionMassStep(op));
  if (kind == "selectRuns") return target.add(selectRunsStep(op));
  if (kind == "attendRuns") return target.add(attendRunsStep(op));
  throw Failure{"kind", "an op", kind};
}

// Selectors and kept rows live as long as the job, which their holder in JavaScript guarantees.
std::vector<SelectorChoice> choicesOf(Napi::Value value) {
  const Napi::Array selectors = value.As<Napi::Array>();
  std::vector<SelectorChoice> choices;
  for (std::uint32_t s = 0; s < selectors.Length(); ++s) {
    const Napi::Value choice = selectors.Get(s);
    if (choice.IsNull()) {
      choices.push_back({SelectorChoice::all});
    } else if (choice.IsBoolean()) {
      choices.push_back({SelectorChoice::given});
    } else {
      choices.push_back({SelectorChoice::native, &unwrap<Selector>(choice)});
    }
  }
  return choices;
}

std::vector<const KeptRows*> keptOf(Napi::Value value) {
  const Napi::Array entries = value.As<Napi::Array>();
  std::vector<const KeptRows*> kept;
  for (std::uint32_t s = 0; s < entries.Length(); ++s) {
    const Napi::Value rows = entries.Get(s);
    kept.push_back(rows.IsNull() ? nullptr : &unwrap<KeptRows>(rows));
  }
  return kept;
}

std::vector<const float*> buffersOf(Napi::Value value, const char* name) {
  const Napi::Array entries = value.As<Napi::Array>();
  std::vector<const float*> buffers;
  for (std::uint32_t i = 0; i < entries.Length(); ++i) buffers.push_back(floatsOf(entries.Get(i), name).data);
  return buffers;
}

}  // namespace

Napi::Value createProgram(const Napi::CallbackInfo& info) {
  const gpu::SessionPtr& session = unwrap<Runtime>(info[0]).gpu();
  const Napi::Array ops = info[1].As<Napi::Array>();
  const Napi::Array scratch = info[2].As<Napi::Array>();
  const auto device = session != nullptr ? std::make_shared<gpu::DeviceProgram>(session) : nullptr;
  const std::shared_ptr<Program> program = device != nullptr ? device : std::make_shared<Program>();
  for (std::uint32_t i = 0; i < ops.Length(); ++i) {
    addStep({*program, device.get()}, OpFields(ops.Get(i).As<Napi::Object>(), *program));
  }
  for (std::uint32_t i = 0; i < scratch.Length(); ++i) program->scratch(floatsOf(scratch.Get(i), "scratch").data);
  if (device != nullptr) device->finish();
  return wrap(info.Env(), program);
}

Napi::Value runProgram(const Napi::CallbackInfo& info) {
  Runtime& runtime = unwrap<Runtime>(info[0]);
  const std::uint32_t job = info[1].As<Napi::Number>().Uint32Value();
  const std::shared_ptr<Program> program = sharedOf<Program>(info[2]);
  const RunCounts counts{integerOf(info[3], "tokens"), integerOf(info[4], "outputs"), integerOf(info[5], "sequences")};
  const auto run = std::make_shared<Run>(program->prepare(counts, choicesOf(info[6]), keptOf(info[7])));
  run->leaves = buffersOf(info[8], "leaves");
  run->takesUp = buffersOf(info[9], "takesUp");
  runtime.enqueue(job, [program, run](Context& context) { program->execute(context, *run); });
  return info.Env().Undefined();
}

}  // namespace kvasir::node
