// The system's own queue of reads (io_uring): all blocks that a step lacks are asked for in one call, and nobody sleeps
// but who waits for them.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "io_threads.h"

namespace kvasir::tier {

// Not synchronised: calls come one at a time. Jobs end while somebody waits or polls.
class IoRing final : public IoQueue {
 public:
  // Null where the system has no such queue or refuses it.
  static std::unique_ptr<IoRing> open();
  ~IoRing() override;
  IoRing(const IoRing&) = delete;
  IoRing& operator=(const IoRing&) = delete;

  void submit(std::shared_ptr<IoJob> job, bool urgent) override;
  void flush() override;
  void poll() override;
  void finish(IoJob& job) override;
  void cancel(IoJob& job) override;

 private:
  struct Rings;
  explicit IoRing(std::unique_ptr<Rings> rings);
  void enter(unsigned least);
  bool reap();

  std::unique_ptr<Rings> rings_;
  struct Flying {
    std::shared_ptr<IoJob> job;
    bool urgent = false;
  };
  std::vector<Flying> flying_;                  // by number of a read
  std::vector<unsigned> free_;                  // numbers
  unsigned queued_ = 0;                         // not told to the system yet
  unsigned urgent_ = 0;                         // of those under way
};

}  // namespace kvasir::tier
