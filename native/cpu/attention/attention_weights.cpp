#include <vector>

#include "kernels.h"

namespace kvasir {

void attentionWeights(Isa isa, const KvView& kv, int layer, int kvHead, const std::int32_t* pages, const float* queries,
                      int group, const std::int32_t* indices, int count, float scale, float* out) {
  if (count == 0) return;
  const attention::Kernels& kernels = attention::kernelsFor(isa);
  const attention::HeadRows rows = {kv.base + static_cast<std::size_t>(layer) * kv.layerStride +
                                        static_cast<std::size_t>(kvHead) * kv.headStride,
                                    kv.pageStride,
                                    kv.valueStride,
                                    pages,
                                    kv.type,
                                    kv.headDim};
  const int padded = (count + attention::kBlockTokens - 1) / attention::kBlockTokens * attention::kBlockTokens;
  std::vector<const std::uint8_t*> keys(static_cast<std::size_t>(padded));
  for (int i = 0; i < padded; ++i) keys[static_cast<std::size_t>(i)] = rows.key(indices[i < count ? i : count - 1]);
  std::vector<std::byte> scratch(kernels.weightsScratchBytes(kv.headDim, group, count));
  kernels.weights({keys.data(), count, kv.type, kv.headDim, group, queries, scale, out, scratch.data()});
}

}  // namespace kvasir
