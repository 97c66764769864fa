#include "layer_loads.h"

namespace kvasir::gpu {

LayerLoads::LayerLoads(const DevicePtr& device, int numLayers) {
  for (int i = 0; i < numLayers; ++i) layers_.emplace_back(device);
}

void LayerLoads::announce(int layer, const Stream& ops) {
  std::lock_guard<std::mutex> lock(mutex_);
  Layer& own = layers_[static_cast<std::size_t>(layer)];
  ops.record(own.before);
  ++own.announced;
}

void LayerLoads::begin(int layer, const Stream& places) {
  std::lock_guard<std::mutex> lock(mutex_);
  places.wait(layers_[static_cast<std::size_t>(layer)].before);
}

void LayerLoads::launched(int layer, const Stream& places) {
  std::lock_guard<std::mutex> lock(mutex_);
  Layer& own = layers_[static_cast<std::size_t>(layer)];
  places.record(own.stands);
  own.fresh = true;
  end(own);
}

void LayerLoads::failed(int layer) {
  std::lock_guard<std::mutex> lock(mutex_);
  end(layers_[static_cast<std::size_t>(layer)]);
}

void LayerLoads::end(Layer& layer) {
  --layer.announced;
  launched_.notify_all();
}

void LayerLoads::await(int layer, const Stream& ops) {
  std::unique_lock<std::mutex> lock(mutex_);
  Layer& own = layers_[static_cast<std::size_t>(layer)];
  launched_.wait(lock, [&] { return own.announced == 0; });
  if (own.fresh) ops.wait(own.stands);
  own.fresh = false;
}

}  // namespace kvasir::gpu
