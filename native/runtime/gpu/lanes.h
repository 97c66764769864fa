// Memory and streams that rows go through on their way between the host and a device.
#pragma once

#include <deque>

#include "device.h"
#include "uploads.h"

namespace kvasir::gpu {

// Pieces of memory on either side that take turns, so that a copy of one goes on while others are worked on.
class Lanes {
 public:
  struct Lane {
    explicit Lane(const DevicePtr& owner) : copied(owner), used(owner) {}
    PinnedMemory host;
    DeviceMemory device;
    Event copied;  // on the copy stream
    Event used;    // on the stream of ops
  };

  Lanes(const DevicePtr& device, int count);
  ~Lanes() { stream.settle(); }

  // Of at least so many bytes. Nothing may be under way.
  void reserve(std::size_t bytes);
  int count() const { return static_cast<int>(lanes_.size()); }
  Lane& at(int piece) { return lanes_[static_cast<std::size_t>(piece % count())]; }

  const Stream stream;  // of copies

 private:
  std::deque<Lane> lanes_;
};

// What loads of rows go through, one load at a time, on a thread beside the one that runs ops.
class Loader {
 public:
  explicit Loader(const DevicePtr& device) : places(device), uploads(places), lanes(device, 4) {}
  ~Loader() { settle(); }

  // Until nothing is under way, whatever comes of it.
  void settle() const {
    lanes.stream.settle();
    places.settle();
  }

  const Stream places;  // puts rows that were copied into their places
  Uploads uploads;
  Lanes lanes;
};

}  // namespace kvasir::gpu
