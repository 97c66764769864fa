#include "io_threads.h"

#include <utility>

namespace kvasir::tier {

bool IoJob::claim() {
  State waiting = State::waiting;
  return state_.compare_exchange_strong(waiting, State::claimed);
}

IoThreads::IoThreads(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

IoThreads::~IoThreads() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  queued_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void IoThreads::submit(std::shared_ptr<IoJob> job, bool urgent) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    (urgent ? urgent_ : ahead_).push_back(std::move(job));
  }
  queued_.notify_one();
}

void IoThreads::finish(IoJob& job) {
  if (job.done()) return;
  if (job.claim()) runClaimed(job);
  else waitFor(job);
}

void IoThreads::cancel(IoJob& job) {
  if (job.done()) return;
  if (job.claim()) job.state_.store(IoJob::State::done, std::memory_order_release);
  else waitFor(job);
}

void IoThreads::waitFor(const IoJob& job) {
  std::unique_lock<std::mutex> lock(mutex_);
  ++waiters_;
  ended_.wait(lock, [&] { return job.done(); });
  --waiters_;
}

// Done is set under the lock, so that a waiter either sees it or is woken.
void IoThreads::runClaimed(IoJob& job) {
  job.execute();
  std::lock_guard<std::mutex> lock(mutex_);
  job.state_.store(IoJob::State::done, std::memory_order_release);
  if (waiters_ > 0) ended_.notify_all();
}

void IoThreads::work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    queued_.wait(lock, [&] { return stop_ || !urgent_.empty() || !ahead_.empty(); });
    if (stop_) return;
    std::deque<std::shared_ptr<IoJob>>& queue = urgent_.empty() ? ahead_ : urgent_;
    const std::shared_ptr<IoJob> job = std::move(queue.front());
    queue.pop_front();
    if (!job->claim()) continue;
    lock.unlock();
    runClaimed(*job);
    lock.lock();
  }
}

}  // namespace kvasir::tier
