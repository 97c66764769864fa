// The context of a body on this machine: the block's threads one after another, phase by phase, so that a body that would
// be wrong on a device is found out. device.cuh has the same names.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#include "../../cpu/simd/half.h"
#include "vocabulary.h"
#include "emulated_maths.h"
#include "emulated_shared.h"

namespace kvasir::gpu::emulated {

class Context;

// Built with the thread sanitizer, blocks run at once, and their races in global memory are seen.
#if defined(__SANITIZE_THREAD__)
constexpr bool kShowsRaces = true;
#else
constexpr bool kShowsRaces = false;
#endif

// One struct of registers a thread; poisoned, since registers hold anything at first.
template <class Regs>
class Threads {
 public:
  explicit Threads(const Context& context);
  Regs& operator[](int thread) { return regs_[static_cast<std::size_t>(thread)]; }

 private:
  static_assert(std::is_trivially_copyable_v<Regs>, "registers are plain data");
  std::vector<Regs> regs_;
};

template <class T>
class SharedRef;

// A pointer into shared memory. `float x = p[i]` reads and `p[i] = x` writes; never `auto x = p[i]`, which is neither.
template <class T>
class SharedPointer {
 public:
  SharedPointer() = default;
  SharedPointer(Context* context, int array, std::ptrdiff_t at) : context_(context), array_(array), at_(at) {}
  SharedRef<T> operator[](std::ptrdiff_t index) const { return {context_, array_, at_ + index * size()}; }
  SharedRef<T> operator*() const { return (*this)[0]; }
  SharedPointer operator+(std::ptrdiff_t count) const { return {context_, array_, at_ + count * size()}; }
  SharedPointer operator-(std::ptrdiff_t count) const { return *this + -count; }
  SharedPointer& operator+=(std::ptrdiff_t count) { return *this = *this + count; }
  int array() const { return array_; }
  std::ptrdiff_t at() const { return at_; }

 private:
  static constexpr std::ptrdiff_t size() { return static_cast<std::ptrdiff_t>(sizeof(T)); }
  Context* context_ = nullptr;
  int array_ = 0;
  std::ptrdiff_t at_ = 0;
};

class Context : public Maths {
 public:
  template <class Regs>
  using Threads = emulated::Threads<Regs>;
  template <class T>
  using Shared = SharedPointer<T>;

  Context(unsigned blockX, unsigned blockY, const Plan& plan, int threads)
      : plan_(plan), blockX_(blockX), blockY_(blockY), threads_(threads), end_(threads), shared_(plan.sharedBytes, threads / kWarp),
        copies_(static_cast<std::size_t>(threads)) {}

  int blockX() const { return static_cast<int>(blockX_); }
  int blockY() const { return static_cast<int>(blockY_); }
  int gridX() const { return static_cast<int>(plan_.gridX); }
  int gridY() const { return static_cast<int>(plan_.gridY); }
  int threads() const { return threads_; }

  // A phase. Every other one runs its threads backwards, so that a body cannot lean on their order.
  template <class Regs, class Body>
  void each(Threads<Regs>& regs, Body body) {
    each([&](int thread) { body(thread, regs[thread]); });
  }
  template <class Body>
  void each(Body body) {
    outsideEach("each");
    const bool backwards = phase_++ % 2 == 1;
    for (int i = begin_; i < end_; ++i) {
      thread_ = backwards ? begin_ + end_ - 1 - i : i;
      body(thread_);
    }
    thread_ = -1;
  }

  // body(warp) once a warp, each at its own pace: phases, collectives and waits inside are that warp's alone.
  template <class Body>
  void warps(Body body) {
    outsideEach("warps");
    if (warp_ >= 0) throw Fault{"warps() inside warps()"};
    const bool backwards = phase_++ % 2 == 1;
    const int count = threads_ / kWarp;
    for (int i = 0; i < count; ++i) {
      warp_ = backwards ? count - 1 - i : i;
      begin_ = warp_ * kWarp;
      end_ = begin_ + kWarp;
      body(warp_);
    }
    warp_ = -1;
    begin_ = 0;
    end_ = threads_;
  }

  void barrier() {
    outsideEach("barrier");
    if (warp_ >= 0) throw Fault{"barrier() inside warps(): the other warps would not come"};
    shared_.barrier();
  }
  void syncWarp() {
    outsideEach("syncWarp");
    for (int warp = begin_ / kWarp; warp < end_ / kWarp; ++warp) shared_.syncWarp(warp);
  }

  template <class T>
  Shared<T> shared(int count) {
    outsideEach("shared");
    if (warp_ >= 0) throw Fault{"shared() inside warps(): all warps would have the same memory"};
    return {this, shared_.carve(static_cast<std::size_t>(count), sizeof(T)), 0};
  }
  // The same memory as elements of another type.
  template <class T, class From>
  Shared<T> view(Shared<From> from) {
    return {this, from.array(), from.at()};
  }

  // A register that all threads hear of alike, for loops and branches around phases.
  template <class Regs, class Access>
  auto uniform(Threads<Regs>& regs, const Access& access) {
    outsideEach("uniform");
    const auto value = field(regs[begin_], access);
    for (int thread = begin_ + 1; thread < end_; ++thread) {
      if (std::memcmp(&field(regs[thread], access), &value, sizeof(value)) != 0) {
        throw Fault{"uniform: threads " + std::to_string(begin_) + " and " + std::to_string(thread) + " differ"};
      }
    }
    return value;
  }

  static Vec16 load16(const void* from) { return loadAs<Vec16>(from); }
  static Vec8 load8(const void* from) { return loadAs<Vec8>(from); }
  static void store16(void* to, const Vec16& value) { storeAs(to, value); }
  static void store8(void* to, const Vec8& value) { storeAs(to, value); }
  template <class T>
  Vec16 load16(Shared<T> from) {
    return loadShared<Vec16>(from);
  }
  template <class T>
  Vec8 load8(Shared<T> from) {
    return loadShared<Vec8>(from);
  }
  template <class T>
  void store16(Shared<T> to, const Vec16& value) {
    storeShared(to, value);
  }
  template <class T>
  void store8(Shared<T> to, const Vec8& value) {
    storeShared(to, value);
  }

  // 16 bytes of shared memory, `bytes` of them from global memory and the rest zero; landed after waitAsync.
  template <class T>
  void copyAsync(Shared<T> to, const void* from, int bytes = 16) {
    insideEach("copyAsync");
    if (bytes < 0 || bytes > 16) throw Fault{"copyAsync: copies 0 to 16 bytes"};
    requireAligned(from, 16, "copyAsync");
    AsyncCopy copy{to.array(), to.at(), static_cast<const unsigned char*>(from), bytes};
    shared_.beginCopy(copy.array, copy.at, 16, accessor());
    volatile unsigned char touch;  // an address out of bounds is found here, where it is asked for
    if (bytes > 0) touch = copy.from[0], touch = copy.from[bytes - 1], (void)touch;
    copies_[static_cast<std::size_t>(thread_)].open.push_back(copy);
  }
  // Ends a group of copies, for each thread its own; waitAsync(n): all groups but the last n have landed, and the thread
  // sees its own copies: others need a barrier as well.
  void commit() {
    outsideEach("commit");
    for (int thread = begin_; thread < end_; ++thread) {
      ThreadCopies& copies = copies_[static_cast<std::size_t>(thread)];
      copies.groups.push_back(std::move(copies.open));
      copies.open.clear();
    }
  }
  void waitAsync(int groups) {
    outsideEach("waitAsync");
    if (groups < 0 || groups > 3) throw Fault{"waitAsync: 0 to 3 groups may be under way"};
    for (int thread = begin_; thread < end_; ++thread) {
      ThreadCopies& copies = copies_[static_cast<std::size_t>(thread)];
      const std::size_t keep = static_cast<std::size_t>(groups);
      while (copies.groups.size() > keep) {
        for (const AsyncCopy& copy : copies.groups.front()) land(copy, thread);
        copies.groups.erase(copies.groups.begin());
      }
    }
  }

  // On 32-bit integers alone: what they give does not depend on the order. Blocks of a grid meet in global ones.
  template <class T>
  T atomicAdd(T* to, T value) {
    return atomically(to, [&](T old) { return static_cast<T>(old + value); });
  }
  template <class T>
  T atomicMax(T* to, T value) {
    return atomically(to, [&](T old) { return old < value ? value : old; });
  }
  template <class T>
  T atomicMin(T* to, T value) {
    return atomically(to, [&](T old) { return value < old ? value : old; });
  }
  template <class T>
  T atomicOr(T* to, T value) {
    return atomically(to, [&](T old) { return static_cast<T>(old | value); });
  }
  template <class T>
  T atomicAdd(Shared<T> to, T value) {
    return atomicAdd(sharedWord(to), value);
  }
  template <class T>
  T atomicMax(Shared<T> to, T value) {
    return atomicMax(sharedWord(to), value);
  }
  template <class T>
  T atomicMin(Shared<T> to, T value) {
    return atomicMin(sharedWord(to), value);
  }
  template <class T>
  T atomicOr(Shared<T> to, T value) {
    return atomicOr(sharedWord(to), value);
  }
  // Words of global memory that other blocks read, write or change by atomic operations meanwhile: whole, in no order.
  template <class T>
  T loadRelaxed(const T* from) {
    static_assert(std::is_integral_v<T> && sizeof(T) == 4, "whole words");
    insideEach("loadRelaxed");
    return __atomic_load_n(from, __ATOMIC_RELAXED);
  }
  template <class T>
  void storeRelaxed(T* to, T value) {
    static_assert(std::is_integral_v<T> && sizeof(T) == 4, "whole words");
    insideEach("storeRelaxed");
    __atomic_store_n(to, value, __ATOMIC_RELAXED);
  }
  // What this thread wrote to global memory is there before what it writes next, as other blocks see it; and what they wrote
  // before a fence of theirs, if an atomic operation showed this thread one that came behind it.
  void threadFence() {
#if defined(__SANITIZE_THREAD__)
    for (void* word : touched_) __tsan_acquire(word);
    touched_.clear();
    fenced_ = true;
#endif
  }

#include "emulated_warp.inl"

  // What is wrong once the body is over.
  void finish() {
    for (const ThreadCopies& copies : copies_) {
      if (!copies.open.empty()) throw Fault{"asynchronous copies never committed"};
      for (const auto& group : copies.groups) {
        if (!group.empty()) throw Fault{"asynchronous copies never waited for"};
      }
    }
  }

 private:
  template <class T>
  friend class SharedRef;
  template <class Regs>
  friend class emulated::Threads;

  struct AsyncCopy {
    int array;
    std::ptrdiff_t at;
    const unsigned char* from;
    int bytes;
  };
  struct ThreadCopies {
    std::vector<AsyncCopy> open;
    std::vector<std::vector<AsyncCopy>> groups;
  };

  Accessor accessor() const { return {thread_, thread_ >= 0 ? thread_ / kWarp : warp_}; }

  void outsideEach(const char* name) const {
    if (thread_ >= 0) throw Fault{std::string(name) + "() inside each(): the other threads would not come"};
  }
  void insideEach(const char* name) const {
    if (thread_ < 0) throw Fault{std::string(name) + "() outside each(): every thread would do it"};
  }
  static void requireAligned(const void* address, std::size_t to, const char* name) {
    if (reinterpret_cast<std::uintptr_t>(address) % to != 0) throw Fault{std::string(name) + ": address is not aligned"};
  }

  void land(const AsyncCopy& copy, int thread) {
    unsigned char bytes[16] = {};
    std::memcpy(bytes, copy.from, static_cast<std::size_t>(copy.bytes));
    shared_.landCopy(copy.array, copy.at, bytes, 16, {thread, thread / kWarp});
  }

  template <class V>
  static V loadAs(const void* from) {
    requireAligned(from, sizeof(V), "load");
    V value;
    std::memcpy(&value, from, sizeof(V));
    return value;
  }
  template <class V>
  static void storeAs(void* to, const V& value) {
    requireAligned(to, sizeof(V), "store");
    std::memcpy(to, &value, sizeof(V));
  }
  template <class V, class T>
  V loadShared(Shared<T> from) {
    if (shared_.addressOf(from.array(), from.at()) % sizeof(V) != 0) throw Fault{"load: shared address is not aligned"};
    V value;
    shared_.read(from.array(), from.at(), &value, sizeof(V), accessor());
    return value;
  }
  template <class V, class T>
  void storeShared(Shared<T> to, const V& value) {
    if (shared_.addressOf(to.array(), to.at()) % sizeof(V) != 0) throw Fault{"store: shared address is not aligned"};
    shared_.write(to.array(), to.at(), &value, sizeof(V), accessor());
  }
  template <class T, class Change>
  T atomically(T* to, Change change) {
    static_assert(std::is_integral_v<T> && sizeof(T) == 4, "no atomics on floats: their order would show");
    insideEach("atomic");
    T old = __atomic_load_n(to, __ATOMIC_RELAXED);
    if constexpr (kShowsRaces) touched_.push_back(to);
    while (true) {
      const T now = change(old);
      const bool done = fenced_ ? __atomic_compare_exchange_n(to, &old, now, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED)
                                : __atomic_compare_exchange_n(to, &old, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
      if (done) return old;
    }
  }
  template <class T>
  T* sharedWord(Shared<T> to) {
    insideEach("atomic");
    return static_cast<T*>(shared_.atomic(to.array(), to.at(), sizeof(T), accessor()));
  }

  Plan plan_;
  unsigned blockX_, blockY_;
  int threads_;
  int begin_ = 0, end_;
  int thread_ = -1, warp_ = -1;
  int phase_ = 0;
  SharedMemory shared_;
  std::vector<ThreadCopies> copies_;
  // Of the block, since its threads come one after another.
  bool fenced_ = false;
  std::vector<void*> touched_;  // by atomic operations since the last fence
};

template <class Regs>
Threads<Regs>::Threads(const Context& context) : regs_(static_cast<std::size_t>(context.threads_)) {
  std::memset(static_cast<void*>(regs_.data()), 0xCD, regs_.size() * sizeof(Regs));
}

template <class T>
class SharedRef {
 public:
  SharedRef(Context* context, int array, std::ptrdiff_t at) : context_(context), array_(array), at_(at) {}
  SharedRef(const SharedRef&) = delete;

  operator T() const {
    T value;
    context_->shared_.read(array_, at_, &value, sizeof(T), context_->accessor());
    return value;
  }
  T operator=(T value) const {
    context_->shared_.write(array_, at_, &value, sizeof(T), context_->accessor());
    return value;
  }
  T operator=(const SharedRef& other) const { return *this = static_cast<T>(other); }
  T operator+=(T value) const { return *this = static_cast<T>(static_cast<T>(*this) + value); }
  T operator-=(T value) const { return *this = static_cast<T>(static_cast<T>(*this) - value); }
  T operator*=(T value) const { return *this = static_cast<T>(static_cast<T>(*this) * value); }
  T operator|=(T value) const { return *this = static_cast<T>(static_cast<T>(*this) | value); }

 private:
  Context* context_;
  int array_;
  std::ptrdiff_t at_;
};

}  // namespace kvasir::gpu::emulated
