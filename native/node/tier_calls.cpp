#include <memory>
#include <string>

#include "../runtime/gpu/mirrored_arena.h"
#include "../runtime/gpu/tiered_device_arena.h"
#include "../tier/tiered_arena.h"
#include "arguments.h"
#include "calls.h"

namespace kvasir::node {
namespace {

using tier::LowerType;
using tier::TierCounts;
using tier::TieredArena;

// The tier as @kvasir/kernels resolves it: every field is there.
tier::TierOptions optionsOf(const Napi::Object& from) {
  tier::TierOptions options{};
  options.lowerType = textOf(from.Get("lowerType"), "lowerType") == "q8" ? LowerType::q8 : LowerType::f16;
  options.blocks = textOf(from.Get("unit"), "unit") == "block";
  options.dropsLate = textOf(from.Get("onMiss"), "onMiss") == "drop";
  options.prefetch = from.Get("prefetch").ToBoolean();
  options.hotBytes = from.Get("hotBytes").ToNumber().DoubleValue();
  const Napi::Object lower = from.Get("lower").As<Napi::Object>();
  if (textOf(lower.Get("kind"), "kind") == "file") {
    options.file = tier::FileOptions{textOf(lower.Get("path"), "path"), lower.Get("direct").ToBoolean()};
    options.ioThreads = integerOf(lower.Get("ioThreads"), "ioThreads");
    options.ring = lower.Get("ioUring").ToBoolean();
  } else {
    options.pinned = lower.Get("pinned").ToBoolean();
  }
  return options;
}

}  // namespace

Napi::Value createTieredArena(const Napi::CallbackInfo& info) {
  const gpu::SessionPtr device = unwrap<Runtime>(info[0]).gpu();
  const ArenaShape shape{integerOf(info[1], "numLayers"), integerOf(info[2], "numKvHeads"),
                         integerOf(info[3], "headDim"), integerOf(info[4], "capacityPages"), KvType::f16};
  const bool small = shape.numLayers <= 4096 && shape.numKvHeads <= 4096 && shape.headDim <= 4096;
  require(info.Env(),
          shape.numLayers >= 1 && shape.numKvHeads >= 1 && shape.headDim >= 1 && shape.capacityPages >= 1 && small,
          "arena sizes");
  if (!info[5].IsObject()) throw Napi::TypeError::New(info.Env(), "tier: expected an object");
  const tier::TierOptions options = optionsOf(info[5].As<Napi::Object>());
  require(info.Env(), options.ioThreads >= 0 && options.ioThreads <= 64, "ioThreads");
  require(info.Env(), !options.file || (options.ioThreads > 0 && options.blocks), "ioThreads, unit");
  if (device == nullptr) return wrap<Arena>(info.Env(), std::make_shared<TieredArena>(shape, options));
  if (gpu::TieredDeviceArena::holds(options)) return wrap<Arena>(info.Env(), std::make_shared<gpu::TieredDeviceArena>(device, shape, options));
  return wrap<Arena>(info.Env(), std::make_shared<gpu::MirroredArena>(device, shape, options));
}

Napi::Value tierState(const Napi::CallbackInfo& info) {
  auto* arena = dynamic_cast<TieredArena*>(&unwrap<Arena>(info[0]));
  if (auto* mirrored = dynamic_cast<gpu::MirroredArena*>(&unwrap<Arena>(info[0]))) arena = &mirrored->host();
  auto* onDevice = dynamic_cast<gpu::TieredDeviceArena*>(&unwrap<Arena>(info[0]));
  if (arena == nullptr && onDevice == nullptr) throw Napi::TypeError::New(info.Env(), "expected a tiered arena");
  const TierCounts counts = arena != nullptr ? arena->counts() : onDevice->counts();
  const struct {
    const char* name;
    double value;
  } numbers[] = {
      {"hotBytes", counts.hotBytes},
      {"stagingBytes", counts.stagingBytes},
      {"peakStagingBytes", counts.peakStagingBytes},
      {"lowerBytes", counts.lowerBytes},
      {"tableBytes", counts.tableBytes},
      {"movedRows", counts.movedRows},
      {"movedBytes", counts.movedBytes},
      {"hits", counts.hits},
      {"misses", counts.misses},
      {"prefetched", counts.prefetched},
      {"prefetchHits", counts.prefetchHits},
      {"waits", counts.waits},
      {"waitMs", counts.waitMs},
      {"dropped", counts.dropped},
      {"overflows", counts.overflows},
  };
  Napi::Object object = Napi::Object::New(info.Env());
  for (const auto& number : numbers) object.Set(number.name, number.value);
  Napi::Object state = Napi::Object::New(info.Env());
  state.Set("counts", object);
  state.Set("note", arena != nullptr && arena->file() != nullptr ? arena->file()->note() : std::string());
  return state;
}

}  // namespace kvasir::node
