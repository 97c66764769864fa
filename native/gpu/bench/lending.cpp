#include "lending.h"

#include <numeric>

namespace kvasir::gpu::bench {

Stream::Stream(const Gpu& gpu) : gpu_(gpu) {
  gpu.check(gpu.table().createStream(gpu.device(), 0, &handle_), "createStream");
  gpu.check(gpu.table().createEvent(gpu.device(), &event_), "createEvent");
}

Stream::~Stream() {
  gpu_.table().destroyEvent(event_);
  gpu_.table().destroyStream(handle_);
}

void Stream::order(KvasirStream* before, KvasirStream* after) const {
  gpu_.check(gpu_.table().recordEvent(before, event_), "recordEvent");
  gpu_.check(gpu_.table().waitEvent(after, event_), "waitEvent");
}

Lending::Lending(const Gpu& gpu, const ModelConfig& config, const Cache& donor, const Cache& to)
    : gpu_(gpu), config_(config), donor_(donor), to_(to), copies_(gpu), places_(gpu) {
  ModelConfig layer = config;
  layer.layers = 1;
  for (int i = 0; i < 2; ++i) staged_.emplace_back(gpu, layer, to.numTokens, false);
  std::vector<std::int32_t> slots(static_cast<std::size_t>(to.numTokens));
  std::iota(slots.begin(), slots.end(), 0);
  slots_ = upload(gpu, slots);
  turns_ = upload(gpu, std::vector<std::int32_t>(slots.size(), 0));
  const RowInputs angles(gpu, config, {37});
  const std::size_t half = static_cast<std::size_t>(config.heads.headDim / 2);
  cos_ = upload(gpu, download<float>(gpu, angles.cos.device(), half));
  sin_ = upload(gpu, download<float>(gpu, angles.sin.device(), half));
}

double Lending::bytes() const { return static_cast<double>(config_.layers) * static_cast<double>(donor_.memory.bytes()); }

void Lending::copy(KvasirStream* stream, int layer) const {
  const Memory& staged = staged_[static_cast<std::size_t>(layer % 2)].memory;
  gpu_.check(gpu_.table().copy(stream, staged.device(), donor_.memory.host(), donor_.memory.bytes()), "copy");
}

void Lending::place(KvasirStream* stream, int layer) const {
  KvasirTurnRowsArgs args{};
  args.from = {staged_[static_cast<std::size_t>(layer % 2)].kv, 0, slots_.device<std::int32_t>()};
  args.to = {to_.kv, layer, slots_.device<std::int32_t>()};
  args.rows = to_.numTokens;
  args.cos = cos_.device<float>();
  args.sin = sin_.device<float>();
  args.rowTurns = turns_.device<std::int32_t>();
  args.pairing = KVASIR_PAIRS_HALF;
  args.rotaryDim = config_.heads.headDim;
  gpu_.check(gpu_.table().turnRows(stream, &args), "turnRows");
}

void Lending::begin(KvasirStream* stream, bool beside) const {
  if (beside) {
    copies_.follow(stream);
    places_.follow(stream);
  }
  next(stream, -1, beside);
}

void Lending::next(KvasirStream* stream, int layer, bool beside) const {
  const int coming = layer + 1, after = layer + 2;
  if (coming >= config_.layers) return;
  if (!beside) {
    copy(stream, coming);
    return place(stream, coming);
  }
  if (coming == 0) copy(copies_.handle(), coming);
  copies_.leadTo(places_.handle());
  if (after < config_.layers) copy(copies_.handle(), after);
  place(places_.handle(), coming);
  places_.leadTo(stream);
  // Its memory is copied over only once it was read.
  places_.leadTo(copies_.handle());
}

void Lending::copyAll(KvasirStream* stream) const {
  for (int layer = 0; layer < config_.layers; ++layer) copy(stream, layer);
}

}  // namespace kvasir::gpu::bench
