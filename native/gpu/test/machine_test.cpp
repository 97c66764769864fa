// Streams, events, copies and graphs: the order in which things happen.
#include "suite.h"

namespace kvasir::gpu::test {
namespace {

using Words = std::vector<std::uint32_t>;

Words counted(std::size_t count, std::uint32_t from = 0) {
  Words words(count);
  for (std::size_t i = 0; i < count; ++i) words[i] = from + static_cast<std::uint32_t>(i);
  return words;
}

void copies(Case& c) {
  const Words words = counted(1000);
  const Buffer<std::uint32_t> a = c.upload(words), b = c.poisoned<std::uint32_t>(1000);
  c.ok(c.gpu.copy(c.stream, b.get(), a.get(), 0), "copy of nothing");
  c.same(c.download(b), Words(1000, 0xCDCDCDCDu), "a copy of nothing leaves all as it is");
  c.ok(c.gpu.copy(c.stream, b.get(), a.get(), 4000), "copy");
  c.same(c.download(b), words, "device to device");
}

void copiesOfRows(Case& c) {
  const Words words = counted(64);
  const Buffer<std::uint32_t> a = c.upload(words), b = c.poisoned<std::uint32_t>(100);
  c.ok(c.gpu.copy2d(c.stream, b.get(), 40, a.get(), 32, 12, 8), "copy2d");
  Words want(100, 0xCDCDCDCDu);
  for (std::size_t r = 0; r < 8; ++r) {
    for (std::size_t i = 0; i < 3; ++i) want[r * 10 + i] = words[r * 8 + i];
  }
  c.same(c.download(b), want, "rows at strides");
  c.check(c.gpu.copy2d(c.stream, b.get(), 8, a.get(), 32, 12, 8) == KVASIR_GPU_INVALID, "rows longer than their stride are refused");
}

void copiesInBatch(Case& c) {
  const Words words = counted(256);
  const Buffer<std::uint32_t> b = c.poisoned<std::uint32_t>(256);
  void *host = nullptr, *mapped = nullptr;
  c.ok(c.gpu.allocateHost(c.suite.device, 1024, &host, &mapped), "allocateHost");
  std::memcpy(host, words.data(), 1024);
  std::vector<KvasirCopy> pieces;
  for (std::size_t i = 0; i < 16; ++i) {
    pieces.push_back({b.get() + 16 * (15 - i), static_cast<std::uint32_t*>(host) + 16 * i, i % 4 == 3 ? std::size_t{0} : std::size_t{64}});
  }
  c.ok(c.gpu.copyBatch(c.stream, pieces.data(), pieces.size()), "copyBatch");
  pieces.clear();
  Words want(256, 0xCDCDCDCDu);
  for (std::size_t i = 0; i < 16; ++i) {
    for (std::size_t j = 0; j < 16 && i % 4 != 3; ++j) want[16 * (15 - i) + j] = words[16 * i + j];
  }
  c.same(c.download(b), want, "pieces of pinned memory");
  c.ok(c.gpu.copyBatch(c.stream, nullptr, 0), "an empty batch");
  c.ok(c.gpu.releaseHost(c.suite.device, host), "releaseHost");
}

// A second stream reads what the first one writes: only the event orders them.
void eventsOrderStreams(Case& c) {
  KvasirStream* other = nullptr;
  KvasirEvent *written = nullptr, *begun = nullptr;
  c.ok(c.gpu.createStream(c.suite.device, 1, &other), "createStream");
  c.ok(c.gpu.createEvent(c.suite.device, &written), "createEvent");
  c.ok(c.gpu.createEvent(c.suite.device, &begun), "createEvent");
  const Buffer<std::uint32_t> a = c.poisoned<std::uint32_t>(1 << 20), b = c.poisoned<std::uint32_t>(1 << 20);
  c.synchronize();
  c.ok(c.gpu.waitEvent(other, written), "wait for an event that nobody recorded");
  c.ok(c.gpu.recordEvent(c.stream, begun), "recordEvent");
  for (int i = 0; i < 8; ++i) c.ok(c.gpu.fill(c.stream, a.get(), i, 4 << 20), "fill");
  c.ok(c.gpu.recordEvent(c.stream, written), "recordEvent");
  c.ok(c.gpu.waitEvent(other, written), "waitEvent");
  c.ok(c.gpu.copy(other, b.get(), a.get(), 4 << 20), "copy");
  c.ok(c.gpu.synchronizeStream(other), "synchronizeStream");
  c.same(c.download(b), Words(1 << 20, 0x07070707u), "what the other stream waited for");
  c.ok(c.gpu.synchronizeEvent(written), "synchronizeEvent");
  c.ok(c.gpu.queryEvent(written), "queryEvent");
  float ms = -1.0f;
  c.ok(c.gpu.elapsedMs(begun, written, &ms), "elapsedMs");
  c.check(ms >= 0.0f, "time goes on");
  int polls = 0;
  c.ok(c.gpu.fill(c.stream, a.get(), 1, 4), "fill");
  while (c.gpu.queryStream(c.stream) == KVASIR_GPU_NOT_READY && polls < 100000000) ++polls;
  c.ok(c.gpu.queryStream(c.stream), "a stream that is polled comes to its end");
  c.ok(c.gpu.destroyEvent(written), "destroyEvent");
  c.ok(c.gpu.destroyEvent(begun), "destroyEvent");
  c.ok(c.gpu.destroyStream(other), "destroyStream");
}

// What waits for an event keeps it: who queued the wait may give it back.
void eventsOutliveTheirOwner(Case& c) {
  KvasirStream* other = nullptr;
  KvasirEvent* written = nullptr;
  c.ok(c.gpu.createStream(c.suite.device, 0, &other), "createStream");
  c.ok(c.gpu.createEvent(c.suite.device, &written), "createEvent");
  const Words words = counted(500);
  const Buffer<std::uint32_t> a = c.upload(words), b = c.poisoned<std::uint32_t>(500), d = c.poisoned<std::uint32_t>(500);
  c.synchronize();
  c.ok(c.gpu.copy(other, b.get(), a.get(), 2000), "copy");
  c.ok(c.gpu.recordEvent(other, written), "recordEvent");
  c.ok(c.gpu.waitEvent(c.stream, written), "waitEvent");
  c.ok(c.gpu.copy(c.stream, d.get(), b.get(), 2000), "copy");
  c.ok(c.gpu.destroyEvent(written), "destroyEvent");
  c.ok(c.gpu.destroyStream(other), "destroyStream");
  c.same(c.download(d), words, "after the event was destroyed");
}

// gatherRows(x, ids) captured once, replayed with other ids and other x.
void graphsReplay(Case& c) {
  Words x = counted(40);
  std::vector<std::int32_t> ids = {3, 1, 4};
  const Buffer<std::uint32_t> from = c.upload(x), out = c.poisoned<std::uint32_t>(12);
  const Buffer<std::int32_t> rows = c.upload(ids);
  KvasirGatherRowsArgs args{from.get(), 16, rows.get(), 3, out.get(), 16, 16, 0};
  KvasirGraph* graph = nullptr;
  KvasirEvent* event = nullptr;
  c.ok(c.gpu.createEvent(c.suite.device, &event), "createEvent");
  c.ok(c.gpu.beginCapture(c.stream), "beginCapture");
  c.ok(c.gpu.gatherRows(c.stream, &args), "gatherRows");
  c.check(c.gpu.recordEvent(c.stream, event) == KVASIR_GPU_UNSUPPORTED, "events are no part of a graph");
  c.ok(c.gpu.endCapture(c.stream, &graph), "endCapture");
  args = KvasirGatherRowsArgs{};
  c.same(c.download(out), Words(12, 0xCDCDCDCDu), "capturing runs nothing");
  for (int round = 0; round < 3; ++round) {
    for (std::uint32_t& word : x) word += 100;
    ids = {round, 9 - round, 5};
    c.ok(c.gpu.copy(c.stream, from.get(), x.data(), 160), "copy");
    c.ok(c.gpu.copy(c.stream, rows.get(), ids.data(), 12), "copy");
    c.ok(c.gpu.launchGraph(graph, c.stream), "launchGraph");
    Words want;
    for (const std::int32_t id : ids) {
      for (int i = 0; i < 4; ++i) want.push_back(x[static_cast<std::size_t>(4 * id + i)]);
    }
    c.same(c.download(out), want, "a replay reads what its memory holds now");
  }
  c.ok(c.gpu.destroyGraph(graph), "destroyGraph");
  c.ok(c.gpu.destroyEvent(event), "destroyEvent");
}

// What CUDA refuses in a capture that is of one thread.
void capturesRefuse(Case& c) {
  const Buffer<std::uint32_t> a = c.upload(counted(16)), b = c.poisoned<std::uint32_t>(16);
  c.synchronize();
  KvasirGraph* graph = nullptr;
  c.ok(c.gpu.beginCapture(c.stream), "beginCapture");
  c.check(c.gpu.synchronizeStream(c.stream) != KVASIR_GPU_OK, "nobody waits for a stream that is being captured");
  c.gpu.endCapture(c.stream, &graph);
  if (graph != nullptr) c.ok(c.gpu.destroyGraph(graph), "destroyGraph");
  graph = nullptr;
  c.ok(c.gpu.beginCapture(c.stream), "a capture after one that was spoilt");
  c.ok(c.gpu.copy(c.stream, b.get(), a.get(), 64), "a copy on the device is part of a graph");
  c.ok(c.gpu.endCapture(c.stream, &graph), "endCapture");
  c.ok(c.gpu.launchGraph(graph, c.stream), "launchGraph");
  c.same(c.download(b), counted(16), "the graph copies");
  c.ok(c.gpu.destroyGraph(graph), "destroyGraph");
  if (std::string(c.gpu.kind) != "emulated") return;
  // CUDA spoils the capture with these, or lets some pass: the emulation is strict.
  const Words pageable = counted(16);
  void* address = nullptr;
  c.ok(c.gpu.beginCapture(c.stream), "beginCapture");
  c.check(c.gpu.copy(c.stream, b.get(), pageable.data(), 64) == KVASIR_GPU_UNSUPPORTED, "memory that is not pinned is refused");
  c.check(c.gpu.copy2d(c.stream, b.get(), 16, pageable.data(), 16, 8, 4) == KVASIR_GPU_UNSUPPORTED, "in rows too");
  c.check(c.gpu.allocate(c.suite.device, 64, &address) == KVASIR_GPU_UNSUPPORTED, "memory is not taken meanwhile");
  c.check(c.gpu.queryStream(c.stream) == KVASIR_GPU_INVALID, "nor asked how far the stream is");
  c.ok(c.gpu.endCapture(c.stream, &graph), "endCapture");
  c.ok(c.gpu.destroyGraph(graph), "destroyGraph");
  c.ok(c.gpu.allocate(c.suite.device, 64, &address), "after it memory is taken again");
  c.ok(c.gpu.release(c.suite.device, address), "release");
}

void refusals(Case& c) {
  KvasirGatherRowsArgs args{nullptr, 16, nullptr, 1, nullptr, 16, 12, 0};
  c.check(c.gpu.gatherRows(c.stream, &args) == KVASIR_GPU_INVALID, "bad arguments give a status");
  c.check(std::string(c.gpu.lastError()).find("gatherRows") != std::string::npos, "and a text that names the op");
  KvasirDeviceInfo info;
  c.check(c.gpu.deviceInfo(1000, &info) == KVASIR_GPU_INVALID, "a device that is not there is refused");
  c.ok(c.gpu.deviceInfo(0, &info), "deviceInfo");
  std::uint64_t free = 0;
  c.ok(c.gpu.freeMemory(c.suite.device, &free), "freeMemory");
  c.check(free > 0 && free <= info.memoryBytes, "free memory is part of the device's");
  c.check(info.memoryBytes > 0 && info.multiprocessors > 0 && info.name[0] != 0, "a device is described");
}

}  // namespace

void tests::machine(Suite& suite) {
  suite.run("machine", "copies", copies);
  suite.run("machine", "copies of rows", copiesOfRows);
  suite.run("machine", "copies in batch", copiesInBatch);
  suite.run("machine", "events order streams", eventsOrderStreams);
  suite.run("machine", "events outlive their owner", eventsOutliveTheirOwner);
  suite.run("machine", "graphs replay", graphsReplay);
  suite.run("machine", "captures refuse", capturesRefuse);
  suite.run("machine", "refusals", refusals);
}

}  // namespace kvasir::gpu::test
