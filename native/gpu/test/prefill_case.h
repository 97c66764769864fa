// Rows of several sequences, all last ones or anywhere, on a device: what the tests of prefill attention and of attention
// mass have in common.
#pragma once

#include "attention_data.h"

namespace kvasir::gpu::test {

struct PrefillRows {
  std::vector<std::int32_t> starts{0};
  std::vector<std::int32_t> positions;
  bool named = true;  // false: the last rows of each sequence, without positions

  int count() const { return static_cast<int>(positions.size()); }

  void close() { starts.push_back(count()); }

  static PrefillRows last(const std::vector<int>& tokens, const std::vector<int>& counts) {
    PrefillRows rows;
    rows.named = false;
    for (std::size_t s = 0; s < tokens.size(); ++s) {
      for (int index = tokens[s] - counts[s]; index < tokens[s]; ++index) rows.positions.push_back(index);
      rows.close();
    }
    return rows;
  }

  // Each row with the given chance.
  static PrefillRows some(Random& random, const std::vector<int>& tokens, double chance) {
    PrefillRows rows;
    for (const int count : tokens) {
      for (int index = 0; index < count; ++index) {
        if (static_cast<double>(random() % 65536) < chance * 65536.0) rows.positions.push_back(index);
      }
      rows.close();
    }
    return rows;
  }

  static PrefillRows at(const std::vector<std::vector<int>>& positions) {
    PrefillRows rows;
    for (const std::vector<int>& indices : positions) {
      rows.positions.insert(rows.positions.end(), indices.begin(), indices.end());
      rows.close();
    }
    return rows;
  }
};

inline std::vector<int> indicesSeen(int position, int window) {
  std::vector<int> indices;
  for (int index = window > 0 ? std::max(0, position - window + 1) : 0; index <= position; ++index) indices.push_back(index);
  return indices;
}

// q of a row by its sequence and position, so that calls with other rows agree about it: [numHeads][headDim].
inline std::vector<float> queryOf(const AttentionShape& shape, unsigned seed, int sequence, int position) {
  Random random(seed * 7919u + static_cast<unsigned>(sequence) * 104729u + static_cast<unsigned>(position));
  return drawNormal(random, static_cast<std::size_t>(shape.numHeads() * shape.headDim));
}

inline std::vector<float> queriesOf(const AttentionShape& shape, unsigned seed, const PrefillRows& rows) {
  std::vector<float> all;
  for (int s = 0; s < shape.numSequences(); ++s) {
    for (int row = rows.starts[static_cast<std::size_t>(s)]; row < rows.starts[static_cast<std::size_t>(s) + 1]; ++row) {
      const std::vector<float> q = queryOf(shape, seed, s, rows.positions[static_cast<std::size_t>(row)]);
      all.insert(all.end(), q.begin(), q.end());
    }
  }
  return all;
}

// The same on the device, with what keeps it there.
struct DeviceRows {
  Buffer<std::uint8_t> bytes;
  Buffer<std::int32_t> starts, tokens, pageStarts, pages, positions;
  Buffer<float> q;
  KvasirKvView kv;
  KvasirBatch batch;

  DeviceRows(Case& c, const AttentionCache& cache, const PrefillRows& rows, const std::vector<float>& queries)
      : bytes(c.upload(cache.bytes)), starts(c.upload(rows.starts)),
        tokens(c.upload(std::vector<std::int32_t>(cache.shape.tokens.begin(), cache.shape.tokens.end()))),
        pageStarts(c.upload(cache.pageStarts)), pages(c.upload(cache.pages)), positions(c.upload(rows.positions)),
        q(c.upload(queries)), kv(cache.view) {
    kv.base = bytes.get();
    batch = {cache.shape.numSequences(), rows.count(),      starts.get(), tokens.get(),
             pageStarts.get(),           pages.get(),       rows.named ? positions.get() : nullptr};
  }
};

inline float scaleOf(const AttentionShape& shape) { return 1.0f / std::sqrt(static_cast<float>(shape.headDim)); }

inline int mostTokens(const AttentionShape& shape) {
  return shape.tokens.empty() ? 0 : *std::max_element(shape.tokens.begin(), shape.tokens.end());
}

}  // namespace kvasir::gpu::test
