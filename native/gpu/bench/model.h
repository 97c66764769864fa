// A model of random weights in the shape of an engine's step: every launch that a decoder of this shape makes, its numbers
// aside. Attention is given from outside.
#pragma once

#include <functional>
#include <vector>

#include "gpu.h"
#include "pages.h"
#include "weights.h"

namespace kvasir::gpu::bench {

struct ModelConfig {
  ModelShape heads;
  int layers, hidden, ffn, vocab;
};

// Of 8 B parameters; tiny: with as few of everything as shows that it runs.
ModelConfig stepModel(bool tiny);

// Canonical pages of all layers, f16, on the device or in pinned host memory that the device reads.
struct Cache {
  Memory memory;
  KvasirKvView kv{};
  int numTokens = 0;

  Cache(const Gpu& gpu, const ModelConfig& config, int numTokens, bool onHost);
  static std::size_t bytesFor(const ModelConfig& config, int numTokens);
};

// Rows that go through the model at once.
struct RowInputs {
  int count = 0;
  Memory ids, cos, sin, slots;

  // Rows at these positions, whose slots are the same numbers: pages in order.
  RowInputs(const Gpu& gpu, const ModelConfig& config, const std::vector<std::int32_t>& positions);
};

class Model {
 public:
  Model(const Gpu& gpu, const ModelConfig& config, int weightType, int maxRows);

  // Attention of one layer: q [rows][numHeads][headDim] -> out, alike.
  using Attend = std::function<void(KvasirStream*, int layer, const float* q, float* out)>;

  // Embeds, runs all layers, writes K and V to their slots, and computes the logits of the last row. At most 8 rows take the
  // path of decoding.
  void forward(KvasirStream* stream, const RowInputs& rows, const Cache& cache, const Attend& attend) const;

  const ModelConfig& config() const { return config_; }
  double weightBytes() const;  // that one row reads
  double flopARow() const;     // of the products, without the logits
  // The logits of the last call are numbers.
  bool finite() const;

 private:
  struct Layer {
    Weights q, k, v, o, gate, up, down;
  };
  struct Part {
    const Weights& weights;
    float* out;
    bool accumulate;
  };
  void norm(KvasirStream* stream, const float* x, int rows, const KvasirHalfRows& to) const;
  void multiply(KvasirStream* stream, const float* x, const KvasirHalfRows& prepared, int cols, int rows, bool decode,
                const std::vector<Part>& parts) const;

  const Gpu& gpu_;
  ModelConfig config_;
  std::vector<Layer> layers_;
  Weights head_;
  Prepared hidden_, attended_, inner_;
  Memory normWeight_, x_, q_, k_, v_, out_, gate_, up_, logits_;
};

}  // namespace kvasir::gpu::bench
