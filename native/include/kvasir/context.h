// What every op gets beside its arguments: threads, scratch memory, the instruction set, the abort flag.
#pragma once

#include <cstddef>
#include <type_traits>

namespace kvasir {

// Ordered: a later x86 level includes the earlier ones. `neon` stands alone.
enum class Isa : int { scalar = 0, avx2 = 1, avx512 = 2, vnni = 3, neon = 4 };

// Fork-join over a fixed set of workers. A task's result may depend on its number only, never on the
// worker or on how many workers there are: that is what makes results independent of the thread count.
class Context {
 public:
  virtual ~Context() = default;

  virtual Isa isa() const = 0;
  virtual int workers() const = 0;

  // True once the caller has aborted. Ops poll it at least once a millisecond of work and return early;
  // outputs are then unspecified.
  virtual bool cancelled() const = 0;

  // 64-byte aligned memory of one worker, reused by the next op: nothing survives an op in it.
  // Grows on demand; the pointer is valid until the same worker asks for more.
  virtual std::byte* scratch(int worker, std::size_t bytes) = 0;

  // The same, shared by all workers of the op; asked for by the op before it forks.
  virtual std::byte* shared(std::size_t bytes) = 0;

  // Calls body(task, worker) once for each task in [0, tasks) and returns when all are done.
  template <class Body>
  void forEach(int tasks, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run(tasks, [](void* self, int task, int worker) { (*static_cast<Plain*>(self))(task, worker); }, &body);
  }

 protected:
  virtual void run(int tasks, void (*body)(void* self, int task, int worker), void* self) = 0;
};

}  // namespace kvasir
