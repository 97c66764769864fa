#include "allocations.h"

#include <cstdint>
#include <map>
#include <mutex>

namespace kvasir::node {
namespace {

struct Table {
  std::mutex mutex;
  std::map<const std::uint8_t*, std::weak_ptr<Memory>> byStart;
};

// Never destroyed: environments of other threads may outlive static objects.
Table& table() {
  static Table* const instance = new Table;
  return *instance;
}

void forget(Memory* memory) {
  {
    std::lock_guard<std::mutex> lock(table().mutex);
    table().byStart.erase(memory->data());
  }
  delete memory;
}

}  // namespace

std::shared_ptr<Memory> allocateShared(std::size_t bytes) {
  std::shared_ptr<Memory> memory(new Memory(bytes), forget);
  std::lock_guard<std::mutex> lock(table().mutex);
  table().byStart[memory->data()] = memory;
  return memory;
}

std::shared_ptr<Memory> holderOf(const void* data) {
  const auto* at = static_cast<const std::uint8_t*>(data);
  std::shared_ptr<Memory> memory;  // let go after the lock: forget() takes it
  std::lock_guard<std::mutex> lock(table().mutex);
  auto next = table().byStart.upper_bound(at);
  if (next == table().byStart.begin()) return nullptr;
  --next;
  memory = next->second.lock();
  return memory != nullptr && at < memory->data() + memory->bytes() ? memory : nullptr;
}

}  // namespace kvasir::node
