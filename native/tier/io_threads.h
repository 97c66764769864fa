// Threads that wait for files in place of the threads that compute.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "../runtime/failure.h"

namespace kvasir::tier {

// Work that exactly one thread does, whoever claims it first. What it reads and writes belongs to it until it is done.
class IoJob {
 public:
  virtual ~IoJob() = default;

  bool done() const { return state_.load(std::memory_order_acquire) == State::done; }
  // Once done: what went wrong.
  const std::optional<Failure>& failure() const { return failure_; }

 protected:
  // Throws Failure.
  virtual void run() = 0;

 private:
  friend class IoThreads;
  enum class State : int { waiting, claimed, done };
  bool claim();
  void execute();

  std::atomic<State> state_{State::waiting};
  std::optional<Failure> failure_;
};

class IoThreads {
 public:
  explicit IoThreads(int threads);
  // Jobs that no thread has begun are never run.
  ~IoThreads();

  // Urgent jobs go first.
  void submit(std::shared_ptr<IoJob> job, bool urgent);

  // Returns once the job is done: runs it here if no thread has begun it.
  void finish(IoJob& job);

  // Returns once nothing touches what the job works on: a job that no thread has begun is done without running.
  void cancel(IoJob& job);

 private:
  void work();
  void runClaimed(IoJob& job);
  void waitFor(const IoJob& job);

  std::mutex mutex_;
  std::condition_variable queued_;
  std::condition_variable ended_;
  std::deque<std::shared_ptr<IoJob>> urgent_, ahead_;
  int waiters_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace kvasir::tier
