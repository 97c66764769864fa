#include "kept_bits.h"

namespace kvasir::gpu {
namespace {

struct KeptBits final : KeptRows::Copy {
  struct Layer {
    std::uint64_t version = 0;
    DeviceMemory bits;
  };
  explicit KeptBits(const KeptRows& kept) : layers(static_cast<std::size_t>(kept.numLayers())) {}
  std::vector<Layer> layers;
};

}  // namespace

const std::uint64_t* keptBitsOnDevice(Session& session, const KeptRows& kept, int layer) {
  const KeptView view = kept.view(layer);
  if (view.keepsAll()) return nullptr;
  auto* known = dynamic_cast<KeptBits*>(kept.copy().get());
  if (known == nullptr) {
    auto fresh = std::make_shared<KeptBits>(kept);
    known = fresh.get();
    kept.copy() = std::move(fresh);
  }
  KeptBits::Layer& own = known->layers[static_cast<std::size_t>(layer)];
  if (own.version != kept.version(layer)) {
    const std::size_t count = static_cast<std::size_t>(kept.numKvHeads()) * view.stride, bytes = count * sizeof(std::uint64_t);
    if (own.bits.bytes() < bytes) own.bits = DeviceMemory(session.device, bytes);
    session.stream.copy(own.bits.data(), session.uploads.push(view.bits, count), bytes);
    own.version = kept.version(layer);
  }
  return reinterpret_cast<const std::uint64_t*>(own.bits.data());
}

}  // namespace kvasir::gpu
