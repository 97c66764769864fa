#include "executor.h"

#include <algorithm>
#include <exception>
#include <new>

#include "spin.h"

namespace kvasir {
namespace {

// Decode steps follow each other this closely; then the thread sleeps.
constexpr std::chrono::microseconds idleSpin{50};

class PoolContext final : public Context {
 public:
  PoolContext(Pool& pool, Scratch& scratch, const Job& job) : pool_(pool), scratch_(scratch), job_(job) {}

  Isa isa() const override { return job_.isa; }
  int workers() const override { return job_.workers; }
  bool cancelled() const override { return job_.cancelled.load(std::memory_order_relaxed); }
  std::byte* scratch(int worker, std::size_t bytes) override { return scratch_.ofWorker(worker, bytes); }
  std::byte* shared(std::size_t bytes) override { return scratch_.ofAll(bytes); }

 protected:
  void run(int tasks, void (*body)(void*, int, int), void* self) override {
    pool_.fork(tasks, job_.workers, body, self);
  }

 private:
  Pool& pool_;
  Scratch& scratch_;
  const Job& job_;
};

}  // namespace

std::shared_ptr<Executor> Executor::shared(int workers) {
  static std::mutex mutex;
  static std::weak_ptr<Executor> current;
  std::lock_guard<std::mutex> lock(mutex);
  std::shared_ptr<Executor> executor = current.lock();
  if (executor == nullptr) current = executor = std::make_shared<Executor>();
  std::lock_guard<std::mutex> inner(executor->mutex_);
  executor->wantedWorkers_ = std::max(executor->wantedWorkers_, workers);
  return executor;
}

Executor::Executor(int workers) : wantedWorkers_(workers), thread_([this] { work(); }) {}

Executor::~Executor() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  queued_.notify_one();
  thread_.join();
}

void Executor::enqueue(std::shared_ptr<Job> job) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(std::move(job));
    ++waiting_;
  }
  queued_.notify_one();
}

bool Executor::cancel(const std::shared_ptr<Job>& job) {
  job->cancelled = true;
  std::lock_guard<std::mutex> lock(mutex_);
  const auto at = std::find(queue_.begin(), queue_.end(), job);
  if (at == queue_.end()) return false;
  queue_.erase(at);
  --waiting_;
  return true;
}

void Executor::drain(const void* owner) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto kept = std::remove_if(queue_.begin(), queue_.end(), [&](const auto& job) { return job->owner == owner; });
  waiting_ -= static_cast<int>(queue_.end() - kept);
  queue_.erase(kept, queue_.end());
  if (running_ != nullptr && running_->owner == owner) running_->cancelled = true;
  idle_.wait(lock, [&] { return running_ == nullptr || running_->owner != owner; });
}

void Executor::work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    if (queue_.empty() && !stop_) {
      lock.unlock();
      spinUntil(idleSpin, [&] { return waiting_.load(std::memory_order_acquire) > 0; });
      lock.lock();
    }
    queued_.wait(lock, [&] { return stop_ || !queue_.empty(); });
    if (stop_) return;
    running_ = std::move(queue_.front());
    queue_.pop_front();
    --waiting_;
    const int workers = wantedWorkers_;
    lock.unlock();

    pool_.grow(workers);
    execute(*running_);

    lock.lock();
    running_ = nullptr;
    idle_.notify_all();
  }
}

void Executor::execute(Job& job) {
  PoolContext context(pool_, scratch_, job);
  pool_.beginBurst();
  try {
    job.execute(context);
  } catch (const Failure& failure) {
    job.failure = failure;
  } catch (const std::bad_alloc&) {
    job.failure = Failure{"memory", "enough for the run", "none left"};
  } catch (const std::exception& error) {
    job.failure = Failure{"kernels", "a run without faults", error.what()};
  }
  pool_.endBurst();
  job.ended();
}

}  // namespace kvasir
