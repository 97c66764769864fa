// Which layers of an arena have rows on their way, between the thread that runs ops and the one that brings rows.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>

#include "device.h"

namespace kvasir::gpu {

// A load is announced in the order of ops, begins, and then has been launched or has failed. Ops that come after the
// announcement wait for it: on the host until it is launched, on the device until its rows stand.
class LayerLoads {
 public:
  LayerLoads(const DevicePtr& device, int numLayers);

  // On the thread of ops: a load will write rows once the ops that `ops` holds now are done.
  void announce(int layer, const Stream& ops);

  // On the thread of loads. What follows on `places` comes after the ops before the announcement.
  void begin(int layer, const Stream& places);
  // All of it is on `places`.
  void launched(int layer, const Stream& places);
  // None of it is under way.
  void failed(int layer);

  // On the thread of ops: what follows on `ops` finds the rows of all loads announced before.
  void await(int layer, const Stream& ops);

 private:
  struct Layer {
    explicit Layer(const DevicePtr& device) : before(device), stands(device) {}
    int announced = 0;   // and not yet launched
    bool fresh = false;  // launched since ops last waited
    Event before;        // ops before the last announcement
    Event stands;        // rows of the last load
  };

  void end(Layer& layer);

  std::mutex mutex_;
  std::condition_variable launched_;
  std::deque<Layer> layers_;
};

}  // namespace kvasir::gpu
