// A Context for native test and bench programs: plain threads, started once, one fork at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "kvasir/context.h"

namespace kvasir::test {

class Memory {
 public:
  std::byte* get(std::size_t bytes) {
    if (bytes > capacity) {
      capacity = (bytes + 4095) / 4096 * 4096;
      data.reset(static_cast<std::byte*>(std::aligned_alloc(4096, capacity)));
    }
    return data.get();
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> data;
  std::size_t capacity = 0;
};

class TestContext : public Context {
 public:
  TestContext(Isa isa, int workers) : level(isa), count(workers), memories(static_cast<std::size_t>(workers)) {
    for (int w = 1; w < workers; ++w) threads.emplace_back([this, w] { serve(w); });
  }

  ~TestContext() override {
    {
      std::lock_guard<std::mutex> lock(mutex);
      stopping.store(true);
      generation.fetch_add(1);
    }
    wake.notify_all();
    for (std::thread& thread : threads) thread.join();
  }

  Isa isa() const override { return level; }
  int workers() const override { return count; }
  bool cancelled() const override { return aborted.load(std::memory_order_relaxed); }
  void abort(bool value) { aborted.store(value); }
  std::byte* scratch(int worker, std::size_t bytes) override { return memories[static_cast<std::size_t>(worker)].get(bytes); }
  std::byte* shared(std::size_t bytes) override { return common.get(bytes); }

 protected:
  void run(int tasks, void (*body)(void* self, int task, int worker), void* self) override {
    job = {tasks, body, self};
    next.store(0);
    busy.store(count - 1);
    {
      std::lock_guard<std::mutex> lock(mutex);
      generation.fetch_add(1);
    }
    wake.notify_all();
    work(0);
    while (busy.load() > 0) std::this_thread::yield();
  }

 private:
  struct Job {
    int tasks;
    void (*body)(void*, int, int);
    void* self;
  };

  void work(int worker) {
    for (int task = next.fetch_add(1); task < job.tasks; task = next.fetch_add(1)) job.body(job.self, task, worker);
  }

  // Spins for a while before sleeping, so that short forks are not dominated by wake-ups.
  void serve(int worker) {
    int seen = 0;
    while (true) {
      for (int spin = 0; generation.load() == seen && spin < 20000; ++spin) {
      }
      if (generation.load() == seen) {
        std::unique_lock<std::mutex> lock(mutex);
        wake.wait(lock, [&] { return generation.load() != seen || stopping.load(); });
      }
      if (stopping.load()) return;
      seen = generation.load();
      work(worker);
      busy.fetch_sub(1);
    }
  }

  Isa level;
  int count;
  std::vector<Memory> memories;
  Memory common;
  std::vector<std::thread> threads;
  Job job{};
  std::atomic<int> next{0}, busy{0}, generation{0};
  std::atomic<bool> stopping{false}, aborted{false};
  std::mutex mutex;
  std::condition_variable wake;
};

}  // namespace kvasir::test
