#include "model.h"

#include <algorithm>
#include <cmath>

#include "roofs.h"

namespace kvasir::gpu::bench {

namespace {

std::size_t floats(int rows, int cols) { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols) * sizeof(float); }

}  // namespace

ModelConfig stepModel(bool tiny) {
  if (tiny) return {{4, 2, 32}, 2, 128, 192, 96};
  return {{32, 8, 128}, 32, 4096, 14336, 128256};
}

std::size_t Cache::bytesFor(const ModelConfig& config, int numTokens) {
  const int pages = (numTokens + KVASIR_PAGE_TOKENS - 1) / KVASIR_PAGE_TOKENS;
  return PagePool::pageBytes(config.heads) * static_cast<std::size_t>(config.layers) * static_cast<std::size_t>(pages);
}

Cache::Cache(const Gpu& gpu, const ModelConfig& config, int tokens, bool onHost)
    : memory(onHost ? Memory::onHost(gpu, bytesFor(config, tokens)) : Memory::onDevice(gpu, bytesFor(config, tokens))), numTokens(tokens) {
  fillRandom(gpu, memory);
  const std::size_t rowBytes = static_cast<std::size_t>(config.heads.headDim) * 2, layerBytes = PagePool::pageBytes(config.heads);
  kv = {memory.device(), layerBytes * static_cast<std::size_t>(config.layers), layerBytes, 2 * KVASIR_PAGE_TOKENS * rowBytes,
        KVASIR_PAGE_TOKENS * rowBytes, KVASIR_F16, config.heads.numKvHeads, config.heads.headDim};
}

RowInputs::RowInputs(const Gpu& gpu, const ModelConfig& config, const std::vector<std::int32_t>& positions)
    : count(static_cast<int>(positions.size())) {
  std::vector<std::int32_t> tokens;
  std::vector<float> cosines, sines;
  const int half = config.heads.headDim / 2;
  for (const std::int32_t position : positions) {
    tokens.push_back(static_cast<std::int32_t>(static_cast<long long>(position) * 7919 % config.vocab));
    for (int i = 0; i < half; ++i) {
      const double angle = position * std::pow(500000.0, -static_cast<double>(i) / half);
      cosines.push_back(static_cast<float>(std::cos(angle)));
      sines.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  ids = upload(gpu, tokens);
  cos = upload(gpu, cosines);
  sin = upload(gpu, sines);
  slots = upload(gpu, positions);
}

Model::Model(const Gpu& gpu, const ModelConfig& config, int type, int maxRows)
    : gpu_(gpu), config_(config), head_(gpu, type, config.vocab, config.hidden), hidden_(gpu, maxRows, config.hidden),
      attended_(gpu, maxRows, config.heads.numHeads * config.heads.headDim), inner_(gpu, maxRows, config.ffn) {
  const int queries = config.heads.numHeads * config.heads.headDim, keys = config.heads.numKvHeads * config.heads.headDim;
  for (int layer = 0; layer < config.layers; ++layer) {
    layers_.push_back({Weights(gpu, type, queries, config.hidden), Weights(gpu, type, keys, config.hidden),
                       Weights(gpu, type, keys, config.hidden), Weights(gpu, type, config.hidden, queries),
                       Weights(gpu, type, config.ffn, config.hidden), Weights(gpu, type, config.ffn, config.hidden),
                       Weights(gpu, type, config.hidden, config.ffn)});
  }
  normWeight_ = upload(gpu, std::vector<float>(static_cast<std::size_t>(config.hidden), 1.0f));
  x_ = Memory::onDevice(gpu, floats(maxRows, config.hidden));
  q_ = Memory::onDevice(gpu, floats(maxRows, queries));
  k_ = Memory::onDevice(gpu, floats(maxRows, keys));
  v_ = Memory::onDevice(gpu, floats(maxRows, keys));
  out_ = Memory::onDevice(gpu, floats(maxRows, queries));
  gate_ = Memory::onDevice(gpu, floats(maxRows, config.ffn));
  up_ = Memory::onDevice(gpu, floats(maxRows, config.ffn));
  logits_ = Memory::onDevice(gpu, floats(1, config.vocab));
}

double Model::weightBytes() const {
  const Layer& one = layers_[0];
  const std::size_t layer = one.q.bytes() + one.k.bytes() + one.v.bytes() + one.o.bytes() + one.gate.bytes() + one.up.bytes() + one.down.bytes();
  return static_cast<double>(layer * layers_.size() + head_.bytes());
}

double Model::flopARow() const {
  const double queries = config_.heads.numHeads * config_.heads.headDim, keys = config_.heads.numKvHeads * config_.heads.headDim;
  return 2.0 * config_.layers * config_.hidden * (2 * queries + 2 * keys + 3.0 * config_.ffn);
}

void Model::norm(KvasirStream* stream, const float* x, int rows, const KvasirHalfRows& to) const {
  KvasirRmsNormArgs args{};
  args.x = x;
  args.weight = normWeight_.device<float>();
  args.eps = 1e-5f;
  args.rows = rows;
  args.groups = 1;
  args.dim = config_.hidden;
  args.prepared = to;
  gpu_.check(gpu_.table().rmsNorm(stream, &args), "rmsNorm");
}

// x null: `prepared` holds it.
void Model::multiply(KvasirStream* stream, const float* x, const KvasirHalfRows& prepared, int cols, int rows, bool decode,
                     const std::vector<Part>& parts) const {
  KvasirLinearArgs args{};
  args.x = x;
  args.xStride = static_cast<std::size_t>(cols);
  args.rows = rows;
  args.numParts = static_cast<int32_t>(parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const KvasirWeight& weight = parts[i].weights.weight;
    args.parts[i] = {weight, nullptr, parts[i].out, static_cast<std::size_t>(weight.rows), parts[i].accumulate ? 1 : 0};
  }
  args.path = decode ? KVASIR_LINEAR_DECODE : KVASIR_LINEAR_PREFILL;
  args.mode = KVASIR_LINEAR_FAST;
  args.prepared = prepared;
  gpu_.check(gpu_.table().linear(stream, &args), "linear");
}

void Model::forward(KvasirStream* stream, const RowInputs& rows, const Cache& cache, const Attend& attend) const {
  const KvasirGpuV1& table = gpu_.table();
  const int count = rows.count, headDim = config_.heads.headDim, queries = config_.heads.numHeads * headDim;
  const bool decode = count <= 8;
  float* x = x_.device<float>();
  const KvasirEmbedRowsArgs embed{head_.weight, rows.ids.device<std::int32_t>(), count, x, static_cast<std::size_t>(config_.hidden)};
  gpu_.check(table.embedRows(stream, &embed), "embedRows");
  for (int index = 0; index < config_.layers; ++index) {
    const Layer& layer = layers_[static_cast<std::size_t>(index)];
    norm(stream, x, count, hidden_.rows);
    multiply(stream, nullptr, hidden_.rows, config_.hidden, count, decode,
             {{layer.q, q_.device<float>(), false}, {layer.k, k_.device<float>(), false}, {layer.v, v_.device<float>(), false}});
    for (const bool keys : {false, true}) {
      const KvasirRopeRowsArgs rope{keys ? k_.device<float>() : q_.device<float>(), rows.cos.device<float>(), rows.sin.device<float>(), count,
                                    keys ? config_.heads.numKvHeads : config_.heads.numHeads, headDim, headDim, KVASIR_PAIRS_HALF};
      gpu_.check(table.ropeRows(stream, &rope), "ropeRows");
    }
    const KvasirWriteKvArgs write{{cache.kv, index, rows.slots.device<std::int32_t>()}, k_.device<float>(), v_.device<float>(), count};
    gpu_.check(table.writeKv(stream, &write), "writeKv");
    attend(stream, index, q_.device<float>(), out_.device<float>());
    multiply(stream, out_.device<float>(), attended_.rows, queries, count, decode, {{layer.o, x, true}});
    norm(stream, x, count, hidden_.rows);
    multiply(stream, nullptr, hidden_.rows, config_.hidden, count, decode,
             {{layer.gate, gate_.device<float>(), false}, {layer.up, up_.device<float>(), false}});
    KvasirSiluGateArgs gate{};
    gate.gate = gate_.device<float>();
    gate.up = up_.device<float>();
    gate.rows = count;
    gate.dim = config_.ffn;
    gate.prepared = inner_.rows;
    gpu_.check(table.siluGate(stream, &gate), "siluGate");
    multiply(stream, nullptr, inner_.rows, config_.ffn, count, decode, {{layer.down, x, true}});
  }
  norm(stream, x + static_cast<std::size_t>(count - 1) * static_cast<std::size_t>(config_.hidden), 1, hidden_.rows);
  multiply(stream, nullptr, hidden_.rows, config_.hidden, 1, true, {{head_, logits_.device<float>(), false}});
}

bool Model::finite() const {
  const std::vector<float> logits = download<float>(gpu_, logits_.device(), static_cast<std::size_t>(config_.vocab));
  return std::all_of(logits.begin(), logits.end(), [](float value) { return std::isfinite(value); });
}

}  // namespace kvasir::gpu::bench
