// Jobs of the whole process, one after another, on a thread of their own with the pool behind it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "failure.h"
#include "kvasir/context.h"
#include "pool.h"
#include "scratch.h"

namespace kvasir {

class Job {
 public:
  virtual ~Job() = default;
  // On the executor's thread. Throws Failure, or std::exception.
  virtual void execute(Context& context) = 0;
  // On the executor's thread, after execute.
  virtual void ended() = 0;

  Isa isa = Isa::scalar;
  int workers = 1;
  const void* owner = nullptr;
  std::atomic<bool> cancelled{false};
  std::optional<Failure> failure;
};

class Executor {
 public:
  // The one of the process: made by the first that asks, gone with the last.
  static std::shared_ptr<Executor> shared(int workers);

  explicit Executor(int workers = 1);
  // Nothing may be queued. Never called on its own thread: jobs do not own executors.
  ~Executor();

  void enqueue(std::shared_ptr<Job> job);

  // Takes a queued job back; false if it has started or ended, and then it is cancelled only.
  bool cancel(const std::shared_ptr<Job>& job);

  // Drops the queued jobs of an owner, cancels the one that runs and waits for it.
  void drain(const void* owner);

 private:
  void work();
  void execute(Job& job);

  Pool pool_;
  Scratch scratch_;
  std::mutex mutex_;
  std::condition_variable queued_;
  std::condition_variable idle_;
  std::deque<std::shared_ptr<Job>> queue_;
  std::shared_ptr<Job> running_;
  std::atomic<int> waiting_{0};
  bool stop_ = false;
  int wantedWorkers_ = 1;
  std::thread thread_;
};

}  // namespace kvasir
