// One suite for both libraries: a case is an op, a shape and a seed. Inputs are rounded to the type that is stored, what a
// kernel should write is poisoned before and compared, whole buffers, with a plain loop over the same bits.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../abi.h"
#include "tolerance.h"

namespace kvasir::gpu::test {

using Random = std::mt19937;

inline int drawInt(Random& random, int low, int high) {
  return low + static_cast<int>(random() % static_cast<std::uint32_t>(high - low + 1));
}

std::vector<float> drawNormal(Random& random, std::size_t count, float scale = 1.0f);
std::vector<std::uint16_t> drawHalves(Random& random, std::size_t count, float scale = 1.0f);
// Any finite float16, subnormals too.
std::vector<std::uint16_t> drawAnyHalves(Random& random, std::size_t count);
// `count` different numbers below `below`, in any order.
std::vector<std::int32_t> drawDistinct(Random& random, int count, int below);

// Ends a case; the text says why.
struct Failure {
  std::string text;
};

class Case;

class Suite {
 public:
  Suite(const KvasirGpuV1& gpu, KvasirDevice* device, KvasirStream* stream, unsigned seed, bool quick, int casesAnOp = 0)
      : gpu(gpu), device(device), stream(stream), quick(quick), seed_(seed), casesAnOp_(casesAnOp) {}

  // What run() gets from here on is of another op: with a bound on the cases of one, the count starts anew.
  void startOp() { cases_ = 0; }
  // A fault on a device ends all that its process can do there: cases are left out from then on.
  bool isLost() const { return lost_; }

  // Runs a case of an op, with three seeds unless quick. `shape` names it; its random numbers follow from the op, the
  // shape and the seed alone.
  void run(const std::string& op, const std::string& shape, const std::function<void(Case&)>& body);

  const KvasirGpuV1& gpu;
  KvasirDevice* const device;
  KvasirStream* const stream;
  const bool quick;  // a sweep then keeps to what shows most
  int passed = 0;
  int failed = 0;
  int shapes = 0;

 private:
  unsigned seed_;
  int casesAnOp_;  // 0: no bound
  int cases_ = 0;
  bool lost_ = false;
};

// Device memory of a case, given back with it.
template <class T>
class Buffer {
 public:
  T* get() const { return static_cast<T*>(address_.get()); }
  std::size_t size() const { return count_; }

 private:
  friend class Case;
  std::shared_ptr<void> address_;
  std::size_t count_ = 0;
};

class Case {
 public:
  Case(Suite& suite, unsigned seed) : suite(suite), gpu(suite.gpu), stream(suite.stream), random(seed) {}

  // Fails the case where a call of the table did.
  void ok(int status, const char* what);

  template <class T>
  Buffer<T> upload(const std::vector<T>& values) {
    Buffer<T> buffer = allocate<T>(values.size());
    ok(gpu.copy(stream, buffer.get(), values.data(), values.size() * sizeof(T)), "copy to the device");
    synchronize();
    return buffer;
  }
  // 0xCD in every byte: no index, and as f32 or f16 a number far from any answer; NaN where `notANumber`.
  template <class T>
  Buffer<T> poisoned(std::size_t count, bool notANumber = false) {
    Buffer<T> buffer = allocate<T>(count);
    ok(gpu.fill(stream, buffer.get(), notANumber ? 0xFF : 0xCD, count * sizeof(T)), "fill");
    return buffer;
  }
  template <class T>
  std::vector<T> download(const Buffer<T>& buffer) {
    std::vector<T> values(buffer.size());
    ok(gpu.copy(stream, values.data(), buffer.get(), buffer.size() * sizeof(T)), "copy from the device");
    synchronize();
    return values;
  }
  void synchronize() { ok(gpu.synchronizeStream(stream), "synchronizeStream"); }

  // Every bit.
  template <class T>
  void same(const std::vector<T>& got, const std::vector<T>& want, const char* what) {
    if (got.size() != want.size()) throw Failure{std::string(what) + ": sizes differ"};
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (std::memcmp(&got[i], &want[i], sizeof(T)) != 0) failAt(what, i, static_cast<double>(got[i]), static_cast<double>(want[i]));
    }
  }
  // |got - want| <= absolute + relative |want| everywhere, and the whole within `norm` of the reference's length.
  void close(const std::vector<float>& got, const std::vector<double>& want, const Tolerance& tolerance, const char* what);
  void check(bool holds, const std::string& what) {
    if (!holds) throw Failure{what};
  }

  Suite& suite;
  const KvasirGpuV1& gpu;
  KvasirStream* const stream;
  Random random;

 private:
  template <class T>
  Buffer<T> allocate(std::size_t count) {
    Buffer<T> buffer;
    void* address = nullptr;
    ok(gpu.allocate(suite.device, count * sizeof(T), &address), "allocate");
    const KvasirGpuV1& table = gpu;
    KvasirDevice* device = suite.device;
    buffer.address_ = std::shared_ptr<void>(address, [&table, device](void* p) { table.release(device, p); });
    buffer.count_ = count;
    return buffer;
  }
  [[noreturn]] static void failAt(const char* what, std::size_t index, double got, double want);
};

// The tests: one function an op, of its name, and that of the machine itself.
namespace tests {
void machine(Suite& suite);
#define KVASIR_GPU_OP(name, Args) void name(Suite& suite);
#include "../ops.inc"
#undef KVASIR_GPU_OP
}  // namespace tests

}  // namespace kvasir::gpu::test
