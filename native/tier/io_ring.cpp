#include "io_ring.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__linux__) && __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#define KVASIR_IO_RING 1
#endif

namespace kvasir::tier {

#if defined(KVASIR_IO_RING)

namespace {

constexpr unsigned kReads = 256;  // under way at once

class Mapping {
 public:
  Mapping() = default;
  Mapping(int ring, std::size_t bytes, off_t offset) : bytes_(bytes) {
    void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, offset);
    data_ = data == MAP_FAILED ? nullptr : static_cast<std::uint8_t*>(data);
  }
  ~Mapping() {
    if (data_ != nullptr) ::munmap(data_, bytes_);
  }
  Mapping(Mapping&& other) noexcept { *this = std::move(other); }
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  bool holds() const { return data_ != nullptr; }
  template <class T>
  T* at(std::size_t offset) const {
    return reinterpret_cast<T*>(data_ + offset);
  }

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace

struct IoRing::Rings {
  int file = -1;
  io_uring_params sizes{};
  Mapping submissions, completions, entries;

  ~Rings() {
    if (file >= 0) ::close(file);
  }

  bool open() {
    file = static_cast<int>(::syscall(SYS_io_uring_setup, kReads, &sizes));
    if (file < 0) return false;
    submissions = Mapping(file, sizes.sq_off.array + sizes.sq_entries * sizeof(std::uint32_t), IORING_OFF_SQ_RING);
    completions = Mapping(file, sizes.cq_off.cqes + sizes.cq_entries * sizeof(io_uring_cqe), IORING_OFF_CQ_RING);
    entries = Mapping(file, sizes.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES);
    return submissions.holds() && completions.holds() && entries.holds();
  }

  void push(const IoJob::Stretch& read, unsigned number) {
    std::uint32_t* tail = submissions.at<std::uint32_t>(sizes.sq_off.tail);
    const std::uint32_t at = *tail & *submissions.at<std::uint32_t>(sizes.sq_off.ring_mask);
    io_uring_sqe& entry = entries.at<io_uring_sqe>(0)[at];
    std::memset(&entry, 0, sizeof entry);
    entry.opcode = IORING_OP_READ;
    entry.fd = read.file;
    entry.off = read.offset;
    entry.addr = reinterpret_cast<std::uintptr_t>(read.data);
    entry.len = static_cast<std::uint32_t>(read.bytes);
    entry.user_data = number;
    submissions.at<std::uint32_t>(sizes.sq_off.array)[at] = at;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
  }

  // The next read that has ended.
  bool pop(unsigned& number, int& result) {
    std::uint32_t* head = completions.at<std::uint32_t>(sizes.cq_off.head);
    const std::uint32_t* tail = completions.at<std::uint32_t>(sizes.cq_off.tail);
    if (*head == __atomic_load_n(tail, __ATOMIC_ACQUIRE)) return false;
    const std::uint32_t at = *head & *completions.at<std::uint32_t>(sizes.cq_off.ring_mask);
    const io_uring_cqe& entry = completions.at<io_uring_cqe>(sizes.cq_off.cqes)[at];
    number = static_cast<unsigned>(entry.user_data);
    result = entry.res;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    return true;
  }
};

std::unique_ptr<IoRing> IoRing::open() {
  auto rings = std::make_unique<Rings>();
  if (!rings->open()) return nullptr;
  return std::unique_ptr<IoRing>(new IoRing(std::move(rings)));
}

IoRing::IoRing(std::unique_ptr<Rings> rings) : rings_(std::move(rings)), flying_(kReads) {
  for (unsigned number = 0; number < kReads; ++number) free_.push_back(number);
}

// The system writes to the jobs' memory until they have ended.
IoRing::~IoRing() {
  while (free_.size() < kReads) enter(1);
}

void IoRing::submit(std::shared_ptr<IoJob> job, bool urgent) {
  if (!job->claim()) return;
  while (free_.empty()) enter(1);
  IoJob::Stretch read{};
  job->attempt([&] { read = job->stretch(); });
  if (job->failure_) {
    job->state_.store(IoJob::State::done, std::memory_order_release);
    return;
  }
  const unsigned number = free_.back();
  free_.pop_back();
  flying_[number] = {std::move(job), urgent};
  urgent_ += urgent;
  rings_->push(read, number);
  ++queued_;
}

void IoRing::flush() {
  if (queued_ > 0) enter(0);
}

void IoRing::poll() {
  while (reap()) {
  }
}

void IoRing::finish(IoJob& job) {
  if (!job.done() && job.claim()) {
    job.execute();
    job.state_.store(IoJob::State::done, std::memory_order_release);
  }
  poll();
  // One sleep for all that is waited for, as far as can be told.
  while (!job.done()) enter(std::max(1u, urgent_));
}

void IoRing::cancel(IoJob& job) {
  if (!job.done() && job.claim()) job.state_.store(IoJob::State::done, std::memory_order_release);
  while (!job.done()) enter(1);
}

// Tells the system of all that is queued, and waits until at least so many reads have ended.
void IoRing::enter(unsigned least) {
  const unsigned flags = least > 0 ? IORING_ENTER_GETEVENTS : 0;
  const long taken = ::syscall(SYS_io_uring_enter, rings_->file, queued_, least, flags, nullptr, 0);
  if (taken > 0) queued_ -= static_cast<unsigned>(taken);
  poll();
}

bool IoRing::reap() {
  unsigned number;
  int result;
  if (!rings_->pop(number, result)) return false;
  const std::shared_ptr<IoJob> job = std::move(flying_[number].job);
  urgent_ -= flying_[number].urgent;
  free_.push_back(number);
  job->attempt([&] { job->complete(result); });
  job->state_.store(IoJob::State::done, std::memory_order_release);
  return true;
}

#else

struct IoRing::Rings {};
std::unique_ptr<IoRing> IoRing::open() { return nullptr; }
IoRing::~IoRing() = default;
void IoRing::submit(std::shared_ptr<IoJob>, bool) {}
void IoRing::flush() {}
void IoRing::poll() {}
void IoRing::finish(IoJob&) {}
void IoRing::cancel(IoJob&) {}

#endif

}  // namespace kvasir::tier
