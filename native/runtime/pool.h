// Fork-join over a fixed set of threads. The thread that forks is worker 0.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace kvasir {

class Pool {
 public:
  using Body = void (*)(void* self, int task, int worker);

  static constexpr int maxWorkers = 128;

  Pool() = default;
  // No fork may be running.
  ~Pool();

  // Starts threads until forks can use this many workers; the caller must not be inside a fork.
  void grow(int workers);

  // Calls body once for each task in [0, tasks), on at most `workers` workers; returns when all are done.
  // Throws what a body threw, if one did.
  void fork(int tasks, int workers, Body body, void* self);

  // Between these, helpers spin for a while before they sleep: forks follow each other closely.
  void beginBurst();
  void endBurst();

 private:
  void help(int worker);
  void work(int worker);
  void runTask(int task, int worker);
  void throwCaught();
  bool spinForWork(int worker);
  void finishTask(int tasks);

  // The open fork in one word, so that claiming a task and checking that there is one cannot come apart:
  // workers (8 bits), tasks (28), next task (28). A finished fork has next >= tasks.
  std::atomic<std::uint64_t> fork_{0};
  // Written before fork_, read after a claim.
  Body body_ = nullptr;
  void* self_ = nullptr;

  alignas(64) std::atomic<int> done_{0};
  alignas(64) std::atomic<int> sleepers_{0};
  std::atomic<bool> inBurst_{false};
  std::atomic<unsigned> bursts_{0};
  std::atomic<bool> callerSleeps_{false};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::exception_ptr caught_;
  std::atomic<bool> hasCaught_{false};
  std::condition_variable wake_;
  std::condition_variable joined_;
  std::vector<std::thread> threads_;
};

}  // namespace kvasir
