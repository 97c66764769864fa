// Shared memory of an emulated block: every access is checked against what other threads did since the last barrier.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "vocabulary.h"

namespace kvasir::gpu::emulated {

// A kernel that would be wrong on a device. Thrown out of the body; the stream reports its text.
struct Fault {
  std::string text;
};

// Who accesses: one thread, or all threads of a warp or of the block at once (code outside each()).
struct Accessor {
  int thread;  // -1: all
  int warp;    // -1: all of the block
};

class SharedMemory {
 public:
  SharedMemory(std::size_t bytes, int warps) : bytes_(bytes, 0xCD), warpEpochs_(static_cast<std::size_t>(warps), 1) {}

  // An array of the block: offset in bytes; its cells are its elements, or words where elements are wider.
  struct Array {
    std::size_t begin;
    std::size_t end;
    std::size_t granule;
    std::size_t firstCell;
  };

  int carve(std::size_t count, std::size_t elementBytes) {
    const std::size_t begin = (used_ + 15) / 16 * 16, size = count * elementBytes;
    if (begin + size > bytes_.size()) {
      throw Fault{"shared memory: " + std::to_string(begin + size) + " bytes carved, the launch gives " +
                  std::to_string(bytes_.size())};
    }
    used_ = begin + size;
    const std::size_t granule = elementBytes < 4 ? elementBytes : 4;
    arrays_.push_back({begin, begin + size, granule, cells_.size()});
    cells_.resize(cells_.size() + size / granule);
    return static_cast<int>(arrays_.size()) - 1;
  }

  std::size_t used() const { return used_; }

  void barrier() {
    ++blockEpoch_;
    for (std::uint32_t& epoch : warpEpochs_) ++epoch;
  }
  void syncWarp(int warp) { ++warpEpochs_[static_cast<std::size_t>(warp)]; }

  void read(int array, std::ptrdiff_t at, void* out, std::size_t size, Accessor who) {
    const std::size_t begin = checked(array, at, size, "read");
    forCells(array, begin, size, [&](Cell& cell) { noteRead(array, cell, begin, who); });
    std::memcpy(out, &bytes_[begin], size);
  }

  void write(int array, std::ptrdiff_t at, const void* value, std::size_t size, Accessor who, bool atomic = false) {
    const std::size_t begin = checked(array, at, size, "written");
    forCells(array, begin, size, [&](Cell& cell) { noteWrite(array, cell, begin, who, atomic); });
    std::memcpy(&bytes_[begin], value, size);
  }

  // The bytes that an atomic operation works on: ordered against others, not against plain accesses.
  void* atomic(int array, std::ptrdiff_t at, std::size_t size, Accessor who) {
    const std::size_t begin = checked(array, at, size, "changed");
    forCells(array, begin, size, [&](Cell& cell) {
      if (!cell.valid) fail(array, begin, "changed before anything was written");
      noteWrite(array, cell, begin, who, true);
    });
    return &bytes_[begin];
  }

  // An asynchronous copy starts: nobody may touch its target until it has landed.
  void beginCopy(int array, std::ptrdiff_t at, std::size_t size, Accessor who) {
    const std::size_t begin = checked(array, at, size, "written");
    if (begin % size != 0) fail(array, begin, "target of an asynchronous copy is not aligned to its size");
    forCells(array, begin, size, [&](Cell& cell) {
      noteWrite(array, cell, begin, who, false);
      cell.pending = true;
    });
  }

  void landCopy(int array, std::ptrdiff_t at, const void* value, std::size_t size, Accessor who) {
    const std::size_t begin = checked(array, at, size, "written");
    forCells(array, begin, size, [&](Cell& cell) {
      cell.pending = false;
      stamp(cell, who, false);
    });
    std::memcpy(&bytes_[begin], value, size);
  }

  std::size_t addressOf(int array, std::ptrdiff_t at) const {
    return arrays_[static_cast<std::size_t>(array)].begin + static_cast<std::size_t>(at);
  }

 private:
  static constexpr std::int16_t kNobody = -2, kAll = -1;

  struct Cell {
    std::int16_t writer = kNobody, writerWarp = kAll;
    std::int16_t reader = kNobody, readerWarp = kAll;  // kAll: several of them
    std::uint32_t writeBlock = 0, writeWarp = 0, readBlock = 0, readWarp = 0;
    bool valid = false, atomic = false, pending = false;
  };

  // Is what (thread, warp) did at these epochs over for `who`?
  bool isPast(std::uint32_t blockEpoch, std::uint32_t warpEpoch, int warp, Accessor who) const {
    if (blockEpoch < blockEpoch_) return true;
    return warp >= 0 && warp == who.warp && warpEpoch < warpEpochs_[static_cast<std::size_t>(warp)];
  }

  std::uint32_t warpEpochOf(Accessor who) const { return who.warp < 0 ? 0 : warpEpochs_[static_cast<std::size_t>(who.warp)]; }

  void noteRead(int array, Cell& cell, std::size_t at, Accessor who) {
    if (cell.pending) fail(array, at, "read while an asynchronous copy to it is under way: wait first");
    if (!cell.valid) fail(array, at, "read and never written");
    const bool own = cell.writer >= 0 && cell.writer == who.thread;
    if (!own && !isPast(cell.writeBlock, cell.writeWarp, cell.writerWarp, who)) {
      fail(array, at, "read by " + name(who) + ", written by " + name({cell.writer, cell.writerWarp}) + " with no barrier between");
    }
    const bool sameTime = cell.reader != kNobody && cell.readBlock == blockEpoch_;
    if (!sameTime) {
      cell.reader = static_cast<std::int16_t>(who.thread);
      cell.readerWarp = static_cast<std::int16_t>(who.warp);
    } else if (cell.readerWarp != who.warp) {
      cell.reader = cell.readerWarp = kAll;
    } else if (cell.reader != who.thread) {
      // An earlier reader of the warp is past where the warp has met since.
      cell.reader = cell.readWarp < warpEpochOf(who) ? static_cast<std::int16_t>(who.thread) : kAll;
    }
    cell.readBlock = blockEpoch_;
    cell.readWarp = warpEpochOf(who);
  }

  void noteWrite(int array, Cell& cell, std::size_t at, Accessor who, bool atomic) {
    if (who.thread < 0) fail(array, at, "written outside each(): every thread would write it");
    if (cell.pending) fail(array, at, "written while an asynchronous copy to it is under way: wait first");
    const bool ordered = atomic && cell.atomic;
    if (cell.valid && cell.writer != who.thread && !ordered && !isPast(cell.writeBlock, cell.writeWarp, cell.writerWarp, who)) {
      fail(array, at, "written by " + name(who) + " and " + name({cell.writer, cell.writerWarp}) + " with no barrier between");
    }
    if (cell.reader != kNobody && cell.reader != who.thread && !isPast(cell.readBlock, cell.readWarp, cell.readerWarp, who)) {
      fail(array, at, "written by " + name(who) + ", read by " + name({cell.reader, cell.readerWarp}) + " with no barrier between");
    }
    stamp(cell, who, atomic);
  }

  void stamp(Cell& cell, Accessor who, bool atomic) {
    cell.writer = static_cast<std::int16_t>(who.thread);
    cell.writerWarp = static_cast<std::int16_t>(who.warp);
    cell.writeBlock = blockEpoch_;
    cell.writeWarp = warpEpochOf(who);
    cell.valid = true;
    cell.atomic = atomic;
  }

  std::size_t checked(int array, std::ptrdiff_t at, std::size_t size, const char* how) const {
    const Array& bounds = arrays_[static_cast<std::size_t>(array)];
    const std::ptrdiff_t length = static_cast<std::ptrdiff_t>(bounds.end - bounds.begin);
    if (at < 0 || at + static_cast<std::ptrdiff_t>(size) > length) {
      throw Fault{"shared memory: byte " + std::to_string(at) + " of an array of " + std::to_string(length) + " bytes is " + how};
    }
    return bounds.begin + static_cast<std::size_t>(at);
  }

  template <class Visit>
  void forCells(int array, std::size_t begin, std::size_t size, Visit visit) {
    const Array& bounds = arrays_[static_cast<std::size_t>(array)];
    const std::size_t first = (begin - bounds.begin) / bounds.granule, last = (begin + size - 1 - bounds.begin) / bounds.granule;
    for (std::size_t cell = first; cell <= last; ++cell) visit(cells_[bounds.firstCell + cell]);
  }

  [[noreturn]] void fail(int array, std::size_t at, const std::string& what) const {
    throw Fault{"shared memory: byte " + std::to_string(at - arrays_[static_cast<std::size_t>(array)].begin) + " of array " +
                std::to_string(array) + " is " + what};
  }

  static std::string name(Accessor who) {
    if (who.thread >= 0) return "thread " + std::to_string(who.thread);
    return who.warp >= 0 ? "threads of warp " + std::to_string(who.warp) : "threads of several warps";
  }

  std::vector<unsigned char> bytes_;
  std::vector<Cell> cells_;
  std::vector<Array> arrays_;
  std::vector<std::uint32_t> warpEpochs_;
  std::uint32_t blockEpoch_ = 1;
  std::size_t used_ = 0;
};

}  // namespace kvasir::gpu::emulated
