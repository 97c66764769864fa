// Rows of a device arena read from any thread, beside what runs: on a stream of its own, one caller at a time.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "uploads.h"

namespace kvasir::gpu {

class RowReader {
 public:
  explicit RowReader(const DevicePtr& device) : stream_(device), uploads_(stream_) {}
  ~RowReader() { stream_.settle(); }

  struct Piece {
    const std::uint8_t* from;  // device
    std::size_t bytes;         // a multiple of 16
  };

  // The pieces one after another, in host memory that holds until the next call; `lock` is held as long.
  const std::uint8_t* read(const std::unique_lock<std::mutex>& lock, const std::vector<Piece>& pieces);

  void copy(const std::unique_lock<std::mutex>& lock, void* to, const void* from, std::size_t bytes);

  // For memory of the device itself; asked for, not waited for.
  void fill(const std::unique_lock<std::mutex>&, void* to, int byte, std::size_t bytes) { stream_.fill(to, byte, bytes); }
  void move(const std::unique_lock<std::mutex>& lock, const std::vector<KvasirPiece>& pieces);
  void synchronize(const std::unique_lock<std::mutex>&) { stream_.synchronize(); }

  std::unique_lock<std::mutex> lock() { return std::unique_lock<std::mutex>(mutex_); }

 private:
  std::mutex mutex_;
  const Stream stream_;
  Uploads uploads_;
  PinnedMemory out_;
};

}  // namespace kvasir::gpu
