// The pool and the executor: every task once, exceptions come back, jobs in order, owners drained.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "../runtime/executor.h"
#include "../runtime/pool.h"

using namespace kvasir;

namespace {

int failures = 0;

void check(bool holds, const char* what) {
  if (holds) return;
  ++failures;
  std::printf("FAILED: %s\n", what);
}

struct Marks {
  std::vector<std::atomic<int>> calls;
  std::atomic<int> highestWorker{0};
  explicit Marks(int tasks) : calls(tasks) {}

  static void mark(void* self, int task, int worker) {
    Marks& marks = *static_cast<Marks*>(self);
    ++marks.calls[task];
    int seen = marks.highestWorker;
    while (worker > seen && !marks.highestWorker.compare_exchange_weak(seen, worker)) {
    }
  }
};

void everyTaskRunsOnce() {
  Pool pool;
  pool.grow(4);
  for (int round = 0; round < 2000; ++round) {
    const int tasks = round % 37;
    const int workers = 1 + round % 5;
    if (round % 50 == 0) pool.beginBurst();
    Marks marks(tasks);
    pool.fork(tasks, workers, Marks::mark, &marks);
    for (const std::atomic<int>& calls : marks.calls) check(calls == 1, "every task runs once");
    check(marks.highestWorker < workers, "a fork uses no more workers than it may");
    if (round % 50 == 49) pool.endBurst();
    if (round % 400 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

void exceptionsComeBack() {
  Pool pool;
  pool.grow(3);
  for (int bad = 0; bad < 8; ++bad) {
    bool caught = false;
    try {
      pool.fork(8, 3, [](void* self, int task, int) {
        if (task == *static_cast<int*>(self)) throw std::runtime_error("bad task");
      }, &bad);
    } catch (const std::runtime_error&) {
      caught = true;
    }
    check(caught, "an exception of a task comes back");
    Marks marks(5);
    pool.fork(5, 3, Marks::mark, &marks);
    for (const std::atomic<int>& calls : marks.calls) check(calls == 1, "the pool works on after an exception");
  }
}

struct TestJob final : Job {
  std::vector<int>* order = nullptr;
  int number = 0;
  bool untilCancelled = false;
  std::atomic<bool> started{false};
  std::atomic<bool> over{false};

  void execute(Context& context) override {
    started = true;
    while (untilCancelled && !context.cancelled()) std::this_thread::sleep_for(std::chrono::microseconds(100));
    if (order != nullptr) order->push_back(number);
    if (number < 0) throw Failure{"number", "a positive one", "less"};
  }
  void ended() override { over = true; }
};

std::shared_ptr<TestJob> jobOf(const void* owner, int number, std::vector<int>* order) {
  auto job = std::make_shared<TestJob>();
  job->owner = owner;
  job->number = number;
  job->order = order;
  return job;
}

void waitFor(const std::atomic<bool>& flag) {
  while (!flag) std::this_thread::sleep_for(std::chrono::microseconds(50));
}

void jobsRunInOrder() {
  const std::shared_ptr<Executor> executor = Executor::shared(2);
  check(executor == Executor::shared(3), "the executor is one");
  std::vector<int> order;
  std::shared_ptr<TestJob> last;
  for (int i = 0; i < 100; ++i) executor->enqueue(last = jobOf(&order, i, &order));
  waitFor(last->over);
  std::vector<int> expected(100);
  std::iota(expected.begin(), expected.end(), 0);
  check(order == expected, "jobs run in the order of the calls");

  const std::shared_ptr<TestJob> bad = jobOf(&order, -1, nullptr);
  executor->enqueue(bad);
  waitFor(bad->over);
  check(bad->failure && bad->failure->parameter == "number", "a failure is kept with its job");
}

void ownersAreDrained() {
  const std::shared_ptr<Executor> executor = Executor::shared(2);
  const int mine = 0, other = 0;
  std::vector<int> order;
  const std::shared_ptr<TestJob> running = jobOf(&mine, 1, &order);
  running->untilCancelled = true;
  executor->enqueue(running);
  waitFor(running->started);
  const std::shared_ptr<TestJob> queued = jobOf(&mine, 2, &order), theirs = jobOf(&other, 3, &order);
  const std::shared_ptr<TestJob> cancelled = jobOf(&other, 4, &order);
  for (const auto& job : {queued, theirs, cancelled}) executor->enqueue(job);
  check(executor->cancel(cancelled), "a queued job is taken back");
  check(!executor->cancel(running), "a running job is not");
  executor->drain(&mine);
  check(running->over, "drain waits for the running job");
  waitFor(theirs->over);
  check(order == std::vector<int>({1, 3}), "drain drops the queued jobs of its owner alone");
}

void executorsStopAndStartAgain() {
  for (int i = 0; i < 50; ++i) {
    const std::shared_ptr<Executor> executor = Executor::shared(3);
    const std::shared_ptr<TestJob> job = jobOf(&executor, i, nullptr);
    executor->enqueue(job);
    if (i % 2 == 0) waitFor(job->over);
    executor->drain(&executor);
  }
}

}  // namespace

int main() {
  everyTaskRunsOnce();
  exceptionsComeBack();
  jobsRunInOrder();
  ownersAreDrained();
  executorsStopAndStartAgain();
  std::printf(failures == 0 ? "runtime: all checks hold\n" : "runtime: %d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}
