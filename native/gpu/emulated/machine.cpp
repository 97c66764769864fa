// The device that is this machine: memory is host memory, streams are queues.
#include "../machine.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "../context/emulated_shared.h"
#include "../failure.h"
#include "stream.h"
#include "trace.h"

struct KvasirDevice {
  int index;
};

// Recorded so many times, reached so often: a wait is for a number.
struct KvasirEvent {
  int number = kvasir::gpu::emulated::nextNumber();  // in the trace
  std::uint64_t recorded = 0;
  std::uint64_t reached = 0;
  KvasirStream* stream = nullptr;
  std::chrono::steady_clock::time_point at{};
  std::shared_ptr<KvasirEvent> self;  // until it is destroyed; tasks that name it have it as well
};

using kvasir::gpu::fail;
using kvasir::gpu::emulated::everything;
using Lock = std::lock_guard<std::recursive_mutex>;

void KvasirStream::push(std::function<void()> task) {
  static const bool isEager = std::getenv("KVASIR_GPU_EAGER") != nullptr;
  if (capture != nullptr) return capture->tasks.push_back(std::move(task));
  tasks.push_back(std::move(task));
  while (isEager && runOne()) {
  }
}

bool KvasirStream::runOne() {
  if (tasks.empty()) return false;
  const std::function<void()> task = std::move(tasks.front());
  tasks.pop_front();
  try {
    task();
  } catch (const kvasir::gpu::emulated::Fault& found) {
    fault = found.text;
    tasks.clear();
  }
  return true;
}

int KvasirStream::drain() {
  while (runOne()) {
  }
  if (fault.empty()) return KVASIR_GPU_OK;
  return fail(KVASIR_GPU_FAILED, std::exchange(fault, std::string()));
}

namespace kvasir::gpu {
namespace emulated {

std::recursive_mutex& everything() {
  static std::recursive_mutex mutex;
  return mutex;
}

namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::uint64_t kMemoryBytes = std::uint64_t{1} << 32;

// What the device knows of: its own memory, and pinned memory. Address to bytes.
std::map<const char*, std::size_t>& memories() {
  static std::map<const char*, std::size_t> all;
  return all;
}

// As in CUDA's captures that are of one thread: that thread neither takes nor gives memory, and nobody asks how far the
// stream is.
std::map<const KvasirStream*, std::thread::id>& capturers() {
  static std::map<const KvasirStream*, std::thread::id> threads;
  return threads;
}

bool isCapturing() {
  for (const auto& [stream, thread] : capturers()) {
    if (thread == std::this_thread::get_id()) return true;
  }
  return false;
}

int refuseCapture(const char* what) { return fail(KVASIR_GPU_UNSUPPORTED, std::string(what) + " while a stream is being captured"); }

bool isKnown(const void* address, std::size_t bytes) {
  const char* from = static_cast<const char*>(address);
  auto after = memories().upper_bound(from);
  if (after == memories().begin()) return false;
  const auto& [start, size] = *std::prev(after);
  return from + bytes <= start + size;
}

bool canCopy(const KvasirStream* stream, const void* to, std::size_t toBytes, const void* from, std::size_t fromBytes) {
  return stream->capture == nullptr || (isKnown(to, toBytes) && isKnown(from, fromBytes));
}

void traceOf(const KvasirStream* stream, const char* what, std::size_t number) {
  if (tracing()) trace("stream " + std::to_string(stream->number) + " " + what + " " + std::to_string(number));
}

int deviceCount(int32_t* count) {
  *count = 1;
  return KVASIR_GPU_OK;
}

int deviceInfo(int32_t index, KvasirDeviceInfo* info) {
  if (index != 0) return fail(KVASIR_GPU_INVALID, "the emulation has one device, number 0");
  *info = KvasirDeviceInfo{};
  std::strncpy(info->name, "emulated", sizeof(info->name) - 1);
  info->multiprocessors = 4;
  info->sharedBytesPerBlock = static_cast<int32_t>(kMostSharedBytes);
  info->memoryBytes = kMemoryBytes;
  return KVASIR_GPU_OK;
}

int openDevice(int32_t index, KvasirDevice** device) {
  if (index != 0) return fail(KVASIR_GPU_INVALID, "the emulation has one device, number 0");
  openTrace();
  *device = new KvasirDevice{index};
  return KVASIR_GPU_OK;
}

int closeDevice(KvasirDevice* device) {
  delete device;
  return KVASIR_GPU_OK;
}

// Not rounded up: what lies behind the last byte is out of bounds.
int allocate(KvasirDevice*, std::size_t bytes, void** address) {
  const Lock lock(everything());
  if (isCapturing()) return refuseCapture("allocate");
  if (posix_memalign(address, kAlignment, bytes) != 0) return fail(KVASIR_GPU_NO_MEMORY, "out of memory");
  std::memset(*address, 0xCD, bytes);
  memories()[static_cast<const char*>(*address)] = bytes;
  return KVASIR_GPU_OK;
}

int release(KvasirDevice*, void* address) {
  const Lock lock(everything());
  if (isCapturing()) return refuseCapture("release");
  memories().erase(static_cast<const char*>(address));
  std::free(address);
  return KVASIR_GPU_OK;
}

int freeMemory(KvasirDevice*, std::uint64_t* bytes) {
  *bytes = kMemoryBytes;
  return KVASIR_GPU_OK;
}

int allocateHost(KvasirDevice* device, std::size_t bytes, void** host, void** mapped) {
  const int status = allocate(device, bytes, host);
  if (status == KVASIR_GPU_OK) *mapped = *host;
  return status;
}

int createStream(KvasirDevice* device, int32_t, KvasirStream** stream) {
  *stream = new KvasirStream;
  (*stream)->device = device;
  (*stream)->number = nextNumber();
  return KVASIR_GPU_OK;
}

int synchronizeStream(KvasirStream* stream) {
  const Lock lock(everything());
  if (stream->capture != nullptr) return fail(KVASIR_GPU_INVALID, "synchronizeStream while the stream is being captured");
  if (tracing()) trace("host waits for stream " + std::to_string(stream->number));
  return stream->drain();
}

int destroyStream(KvasirStream* stream) {
  const Lock lock(everything());
  const int status = stream->drain();
  capturers().erase(stream);
  delete stream->capture;
  delete stream;
  return status;
}

// Each query lets one task pass, so that whoever polls arrives.
int queryStream(KvasirStream* stream) {
  const Lock lock(everything());
  if (stream->capture != nullptr) return fail(KVASIR_GPU_INVALID, "queryStream while the stream is being captured");
  stream->runOne();
  if (!stream->fault.empty()) return stream->drain();
  return stream->tasks.empty() ? KVASIR_GPU_OK : KVASIR_GPU_NOT_READY;
}

int createEvent(KvasirDevice*, KvasirEvent** event) {
  const auto own = std::make_shared<KvasirEvent>();
  own->self = own;
  *event = own.get();
  return KVASIR_GPU_OK;
}

int destroyEvent(KvasirEvent* event) {
  const Lock lock(everything());
  const std::shared_ptr<KvasirEvent> last = std::move(event->self);
  return KVASIR_GPU_OK;
}

int recordEvent(KvasirStream* stream, KvasirEvent* event) {
  const Lock lock(everything());
  if (stream->capture != nullptr) return fail(KVASIR_GPU_UNSUPPORTED, "events of a stream that is being captured");
  traceOf(stream, "record", static_cast<std::size_t>(event->number));
  const std::uint64_t number = ++event->recorded;
  event->stream = stream;
  stream->push([event = event->self, number] {
    if (event->reached < number) event->reached = number;
    event->at = std::chrono::steady_clock::now();
  });
  return KVASIR_GPU_OK;
}

int waitEvent(KvasirStream* stream, KvasirEvent* event) {
  const Lock lock(everything());
  if (stream->capture != nullptr) return fail(KVASIR_GPU_UNSUPPORTED, "events of a stream that is being captured");
  traceOf(stream, "wait", static_cast<std::size_t>(event->number));
  if (event->recorded == 0) return KVASIR_GPU_OK;
  const std::uint64_t number = event->recorded;
  KvasirStream* before = event->stream;
  stream->push([event = event->self, number, before] {
    while (event->reached < number && before->runOne()) {
    }
  });
  return KVASIR_GPU_OK;
}

int synchronizeEvent(KvasirEvent* event) {
  const Lock lock(everything());
  if (tracing()) trace("host waits for event " + std::to_string(event->number));
  while (event->reached < event->recorded && event->stream->runOne()) {
  }
  if (event->stream != nullptr && !event->stream->fault.empty()) return event->stream->drain();
  return KVASIR_GPU_OK;
}

int queryEvent(KvasirEvent* event) {
  const Lock lock(everything());
  if (event->reached < event->recorded) event->stream->runOne();
  if (event->stream != nullptr && !event->stream->fault.empty()) return event->stream->drain();
  return event->reached < event->recorded ? KVASIR_GPU_NOT_READY : KVASIR_GPU_OK;
}

int elapsedMs(KvasirEvent* from, KvasirEvent* to, float* ms) {
  const Lock lock(everything());
  if (from->reached == 0 || to->reached == 0) return fail(KVASIR_GPU_INVALID, "elapsedMs: an event was not reached yet");
  *ms = std::chrono::duration<float, std::milli>(to->at - from->at).count();
  return KVASIR_GPU_OK;
}

int copy(KvasirStream* stream, void* to, const void* from, std::size_t bytes) {
  const Lock lock(everything());
  traceOf(stream, "copy", bytes);
  if (!canCopy(stream, to, bytes, from, bytes)) return refuseCapture("copy of memory that is not pinned");
  if (bytes > 0) stream->push([=] { std::memcpy(to, from, bytes); });
  return KVASIR_GPU_OK;
}

int copy2d(KvasirStream* stream, void* to, std::size_t toStride, const void* from, std::size_t fromStride,
           std::size_t rowBytes, std::size_t rows) {
  if (rowBytes > toStride || rowBytes > fromStride) return fail(KVASIR_GPU_INVALID, "copy2d: rows are longer than a stride");
  const Lock lock(everything());
  if (rowBytes == 0 || rows == 0) return KVASIR_GPU_OK;
  if (!canCopy(stream, to, (rows - 1) * toStride + rowBytes, from, (rows - 1) * fromStride + rowBytes)) {
    return refuseCapture("copy2d of memory that is not pinned");
  }
  stream->push([=] {
    for (std::size_t r = 0; r < rows; ++r) {
      std::memcpy(static_cast<char*>(to) + r * toStride, static_cast<const char*>(from) + r * fromStride, rowBytes);
    }
  });
  return KVASIR_GPU_OK;
}

int copyBatch(KvasirStream* stream, const KvasirCopy* copies, std::size_t count) {
  const Lock lock(everything());
  if (stream->capture != nullptr) return fail(KVASIR_GPU_UNSUPPORTED, "copyBatch on a stream that is being captured");
  std::vector<KvasirCopy> kept(copies, copies + count);
  // Pieces come in no order on a device.
  stream->push([kept = std::move(kept)] {
    for (std::size_t i = kept.size(); i-- > 0;) {
      if (kept[i].bytes > 0) std::memcpy(kept[i].to, kept[i].from, kept[i].bytes);
    }
  });
  return KVASIR_GPU_OK;
}

int fill(KvasirStream* stream, void* to, int32_t byte, std::size_t bytes) {
  const Lock lock(everything());
  if (bytes > 0) stream->push([=] { std::memset(to, byte, bytes); });
  return KVASIR_GPU_OK;
}

int beginCapture(KvasirStream* stream) {
  const Lock lock(everything());
  if (stream->capture != nullptr) return fail(KVASIR_GPU_INVALID, "beginCapture: the stream is being captured");
  stream->capture = new KvasirGraph;
  capturers()[stream] = std::this_thread::get_id();
  return KVASIR_GPU_OK;
}

int endCapture(KvasirStream* stream, KvasirGraph** graph) {
  const Lock lock(everything());
  if (stream->capture == nullptr) return fail(KVASIR_GPU_INVALID, "endCapture: the stream is not being captured");
  if (capturers()[stream] != std::this_thread::get_id()) return fail(KVASIR_GPU_INVALID, "endCapture by a thread that did not begin it");
  capturers().erase(stream);
  KvasirGraph* const captured = std::exchange(stream->capture, nullptr);
  if (std::getenv("KVASIR_GPU_REFUSE_GRAPHS") != nullptr) {
    delete captured;
    return fail(KVASIR_GPU_UNSUPPORTED, "KVASIR_GPU_REFUSE_GRAPHS is set");
  }
  *graph = captured;
  return KVASIR_GPU_OK;
}

int launchGraph(KvasirGraph* graph, KvasirStream* stream) {
  const Lock lock(everything());
  if (stream->capture != nullptr) return fail(KVASIR_GPU_UNSUPPORTED, "launchGraph on a stream that is being captured");
  for (const std::function<void()>& task : graph->tasks) stream->push(task);
  return KVASIR_GPU_OK;
}

int destroyGraph(KvasirGraph* graph) {
  delete graph;
  return KVASIR_GPU_OK;
}

}  // namespace
}  // namespace emulated

void fillMachine(KvasirGpuV1& table) {
  table.kind = "emulated";
  table.deviceCount = emulated::deviceCount;
  table.deviceInfo = emulated::deviceInfo;
  table.openDevice = emulated::openDevice;
  table.closeDevice = emulated::closeDevice;
  table.allocate = emulated::allocate;
  table.release = emulated::release;
  table.freeMemory = emulated::freeMemory;
  table.allocateHost = emulated::allocateHost;
  table.releaseHost = emulated::release;
  table.createStream = emulated::createStream;
  table.destroyStream = emulated::destroyStream;
  table.synchronizeStream = emulated::synchronizeStream;
  table.queryStream = emulated::queryStream;
  table.createEvent = emulated::createEvent;
  table.destroyEvent = emulated::destroyEvent;
  table.recordEvent = emulated::recordEvent;
  table.waitEvent = emulated::waitEvent;
  table.synchronizeEvent = emulated::synchronizeEvent;
  table.queryEvent = emulated::queryEvent;
  table.elapsedMs = emulated::elapsedMs;
  table.copy = emulated::copy;
  table.copy2d = emulated::copy2d;
  table.copyBatch = emulated::copyBatch;
  table.fill = emulated::fill;
  table.beginCapture = emulated::beginCapture;
  table.endCapture = emulated::endCapture;
  table.launchGraph = emulated::launchGraph;
  table.destroyGraph = emulated::destroyGraph;
}

}  // namespace kvasir::gpu
