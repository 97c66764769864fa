// Reads of files behind the threads that compute, and threads that wait for them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "../runtime/failure.h"

namespace kvasir::tier {

// One read of a file and what is made of it. What it writes to belongs to it until it is done: exactly one thread does
// it, whoever claims it first, or the system reads the stretch and the job is completed.
class IoJob {
 public:
  virtual ~IoJob() = default;

  bool done() const { return state_.load(std::memory_order_acquire) == State::done; }
  // Once done: what went wrong.
  const std::optional<Failure>& failure() const { return failure_; }

  // Bytes of an open file and where they go, which holds until the job is done.
  struct Stretch {
    int file;
    std::uint64_t offset;
    std::uint8_t* data;
    std::size_t bytes;
  };

 protected:
  // Throw Failure. run() is stretch(), a read that waits, and complete() with the bytes read or minus an error number.
  virtual void run() = 0;
  virtual Stretch stretch() = 0;
  virtual void complete(long result) = 0;

 private:
  friend class IoThreads;
  friend class IoRing;
  enum class State : int { waiting, claimed, done };
  bool claim();
  void execute() {
    attempt([this] { run(); });
  }
  // Keeps what the step throws.
  template <class Step>
  void attempt(Step&& step) {
    try {
      step();
    } catch (const Failure& failure) {
      failure_ = failure;
    } catch (const std::exception& error) {
      failure_ = Failure{"tier", "a read without faults", error.what(), Failure::Kind::tier};
    }
  }

  std::atomic<State> state_{State::waiting};
  std::optional<Failure> failure_;
};

// Where jobs are done behind the caller.
class IoQueue {
 public:
  virtual ~IoQueue() = default;

  // Urgent jobs go first. A job may begin no earlier than flush().
  virtual void submit(std::shared_ptr<IoJob> job, bool urgent) = 0;
  virtual void flush() {}
  // Lets jobs end that nobody waits for.
  virtual void poll() {}

  // Returns once the job is done: does it here if it has not been submitted or begun.
  virtual void finish(IoJob& job) = 0;

  // Returns once nothing touches what the job works on: a job that has not begun is done without running.
  virtual void cancel(IoJob& job) = 0;
};

class IoThreads final : public IoQueue {
 public:
  explicit IoThreads(int threads);
  // Jobs that no thread has begun are never run.
  ~IoThreads() override;

  void submit(std::shared_ptr<IoJob> job, bool urgent) override;
  void finish(IoJob& job) override;
  void cancel(IoJob& job) override;

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
