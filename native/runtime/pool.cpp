#include "pool.h"

#include <algorithm>

#include "spin.h"

namespace kvasir {
namespace {

constexpr std::chrono::microseconds helperSpin{100};
constexpr std::chrono::microseconds joinSpin{200};

constexpr std::uint64_t countMask = (std::uint64_t{1} << 28) - 1;
constexpr int maxTasks = 1 << 27;

std::uint64_t packFork(int workers, int tasks) {
  return static_cast<std::uint64_t>(workers) << 56 | static_cast<std::uint64_t>(tasks) << 28;
}
int workersOf(std::uint64_t fork) { return static_cast<int>(fork >> 56); }
int tasksOf(std::uint64_t fork) { return static_cast<int>(fork >> 28 & countMask); }
int nextOf(std::uint64_t fork) { return static_cast<int>(fork & countMask); }

bool hasWork(std::uint64_t fork, int worker) { return worker < workersOf(fork) && nextOf(fork) < tasksOf(fork); }

}  // namespace

Pool::~Pool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    wake_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}

void Pool::grow(int workers) {
  const int wanted = std::min(workers, maxWorkers) - 1;
  while (static_cast<int>(threads_.size()) < wanted) {
    const int worker = static_cast<int>(threads_.size()) + 1;
    threads_.emplace_back([this, worker] { help(worker); });
  }
}

void Pool::fork(int tasks, int workers, Body body, void* self) {
  const int used = std::min({workers, tasks, static_cast<int>(threads_.size()) + 1});
  if (used <= 1 || tasks > maxTasks) {
    for (int task = 0; task < tasks; ++task) body(self, task, 0);
    return;
  }
  body_ = body;
  self_ = self;
  done_.store(0, std::memory_order_relaxed);
  fork_.store(packFork(used, tasks));
  if (sleepers_.load() > 0) {
    std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_all();
  }

  work(0);
  const auto joined = [&] { return done_.load() == tasks; };
  if (!spinUntil(joinSpin, joined)) {
    std::unique_lock<std::mutex> lock(mutex_);
    callerSleeps_ = true;
    joined_.wait(lock, joined);
    callerSleeps_ = false;
  }
  if (hasCaught_.load(std::memory_order_relaxed)) throwCaught();
}

void Pool::throwCaught() {
  hasCaught_ = false;
  std::exception_ptr caught;
  std::swap(caught, caught_);
  std::rethrow_exception(caught);
}

// Claims tasks of the open fork until there are none for this worker.
void Pool::work(int worker) {
  std::uint64_t fork = fork_.load(std::memory_order_acquire);
  while (hasWork(fork, worker)) {
    if (!fork_.compare_exchange_weak(fork, fork + 1)) continue;
    runTask(nextOf(fork), worker);
    finishTask(tasksOf(fork));
    fork = fork_.load(std::memory_order_acquire);
  }
}

void Pool::runTask(int task, int worker) {
  try {
    body_(self_, task, worker);
  } catch (...) {
    std::lock_guard<std::mutex> lock(mutex_);
    caught_ = std::current_exception();
    hasCaught_ = true;
  }
}

// In this order, against callerSleeps_ then done_ in fork(): one of the two sees the other.
void Pool::finishTask(int tasks) {
  if (done_.fetch_add(1) + 1 != tasks || !callerSleeps_) return;
  std::lock_guard<std::mutex> lock(mutex_);
  joined_.notify_one();
}

void Pool::help(int worker) {
  while (!stop_) {
    const unsigned burst = bursts_;
    if (spinForWork(worker)) {
      work(worker);
      continue;
    }
    std::unique_lock<std::mutex> lock(mutex_);
    // In this order, against fork_ then sleepers_ in fork().
    ++sleepers_;
    wake_.wait(lock, [&] { return stop_ || bursts_ != burst || hasWork(fork_.load(), worker); });
    --sleepers_;
  }
}

bool Pool::spinForWork(int worker) {
  bool found = false;
  spinUntil(helperSpin, [&] {
    found = hasWork(fork_.load(std::memory_order_acquire), worker);
    return found || !inBurst_.load(std::memory_order_relaxed);
  });
  return found;
}

void Pool::beginBurst() {
  inBurst_ = true;
  ++bursts_;
  if (sleepers_.load() == 0) return;
  std::lock_guard<std::mutex> lock(mutex_);
  wake_.notify_all();
}

void Pool::endBurst() { inBurst_ = false; }

}  // namespace kvasir
