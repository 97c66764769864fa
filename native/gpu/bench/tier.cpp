// A decode step's attention of one layer whose rows lie in pinned host memory: brought into slots, at several shares that are
// there already, against reading all of them where they lie. Rows a head are fixed ones and, turn by turn, others.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <string>

#include "bench.h"
#include "pages.h"

namespace kvasir::gpu::bench {
namespace {

struct TierShape {
  ModelShape model{32, 8, 128};
  int contextTokens = 32768;
  int tokens = 1024;  // a head
  int runTokens = 1;
  int hotShare = 90;  // percent
};

class TieredLayer {
 public:
  TieredLayer(const Gpu& gpu, const TierShape& s) : gpu_(gpu), shape_(s) {
    const auto heads = static_cast<std::size_t>(s.model.numKvHeads), pages = static_cast<std::size_t>(s.contextTokens) / KVASIR_PAGE_TOKENS;
    const std::size_t part = 2 * KVASIR_PAGE_TOKENS * static_cast<std::size_t>(s.model.headDim);
    view_.valueStride = part;
    view_.headStride = 2 * part;
    view_.layerStride = view_.pageStride = heads * view_.headStride;
    view_.type = KVASIR_F16;
    view_.numKvHeads = s.model.numKvHeads;
    view_.headDim = s.model.headDim;
    rows_ = Memory::onHost(gpu, pages * view_.pageStride);
    fillRandom(gpu, rows_);
    view_.base = rows_.device();

    const int numSlots = 2 * s.tokens * s.model.numKvHeads;
    const int fresh = s.tokens - s.tokens * s.hotShare / 100;
    // So many that rows of one turn have left when it comes again.
    turns_ = std::min(256, 2 * s.tokens / std::max(1, fresh) + 2);
    hot_.numSlots = numSlots;
    hot_.numUnits = s.contextTokens * s.model.numKvHeads;
    const auto slots = static_cast<std::size_t>(numSlots);
    slots_ = Memory::onDevice(gpu, kvasirHotLayerBytes(numSlots, 0, s.model.headDim));
    tables_ = Memory::onDevice(gpu, (3 * slots + static_cast<std::size_t>(hot_.numUnits)) * sizeof(std::int32_t));
    state_ = Memory::onDevice(gpu, sizeof(KvasirHotState));
    hot_.rows = slots_.device();
    hot_.units = tables_.device<std::uint32_t>();
    hot_.stamps = hot_.units + slots;
    hot_.taken = reinterpret_cast<std::int32_t*>(hot_.stamps + slots);
    hot_.places = hot_.taken + slots;
    hot_.state = state_.device<KvasirHotState>();
    for (const Memory* zeros : {&tables_, &state_}) gpu.check(gpu.table().fill(gpu.stream(), zeros->device(), 0, zeros->bytes()), "fill");

    makeLists(fresh);
    const int lists = s.model.numKvHeads, group = s.model.numHeads / lists;
    std::vector<std::int32_t> order(pages);
    std::iota(order.begin(), order.end(), 0);
    pages_ = upload(gpu, order);
    pageStarts_ = upload(gpu, std::vector<std::int32_t>{0, static_cast<std::int32_t>(pages)});
    q_ = upload(gpu, randomFloats(static_cast<std::size_t>(s.model.numHeads * s.model.headDim)));
    out_ = Memory::onDevice(gpu, q_.bytes());
    keys_ = Memory::onDevice(gpu, static_cast<std::size_t>(lists * s.tokens) * sizeof(void*));
    starts_ = Memory::onDevice(gpu, (static_cast<std::size_t>(lists) + 1) * sizeof(std::int32_t));
    bringSpace_ = Memory::onDevice(gpu, kvasirBringRowsWorkspaceBytes(lists, 1, s.tokens));
    attendSpace_ = Memory::onDevice(gpu, kvasirAttendWorkspaceBytes(lists, group, s.model.headDim, s.tokens));
    gpu.check(gpu.table().fill(gpu.stream(), attendSpace_.device(), 0, attendSpace_.bytes()), "fill");
    gpu.synchronize();
  }

  int turns() const { return turns_; }
  double stepBytes() const { return 4.0 * shape_.model.headDim * shape_.tokens * shape_.model.numKvHeads; }
  KvasirHotState state() const { return download<KvasirHotState>(gpu_, state_.device(), 1)[0]; }
  std::vector<float> out() const { return download<float>(gpu_, out_.device(), out_.bytes() / sizeof(float)); }

  void bring(KvasirStream* stream, int turn) const {
    KvasirBringRowsArgs args{};
    args.kv = view_;
    args.numHeads = shape_.model.numHeads;
    args.hot = hot_;
    args.numSequences = 1;
    args.pageStarts = pageStarts_.device<std::int32_t>();
    args.pages = pages_.device<std::int32_t>();
    args.rows = rows(turn);
    args.maxTokens = shape_.tokens;
    args.keys = keys_.device<const std::uint8_t*>();
    args.starts = starts_.device<std::int32_t>();
    args.workspace = bringSpace_.device();
    args.workspaceBytes = bringSpace_.bytes();
    gpu_.check(gpu_.table().bringRows(stream, &args), "bringRows");
  }

  // Over what bring() gave, or over the rows where they lie.
  void attend(KvasirStream* stream, int turn, bool brought) const {
    KvasirAttendRunsArgs args{};
    args.kv = view_;
    args.q = q_.device<float>();
    args.numHeads = shape_.model.numHeads;
    args.scale = 1.0f / std::sqrt(static_cast<float>(shape_.model.headDim));
    args.numSequences = 1;
    args.pageStarts = pageStarts_.device<std::int32_t>();
    args.pages = pages_.device<std::int32_t>();
    args.rows = rows(turn);
    if (brought) {
      args.keys = keys_.device<const std::uint8_t*>();
      args.rows = {starts_.device<std::int32_t>(), nullptr, 0};
    }
    args.maxTokens = shape_.tokens;
    args.out = out_.device<float>();
    args.workspace = attendSpace_.device();
    args.workspaceBytes = attendSpace_.bytes();
    gpu_.check(gpu_.table().attendRuns(stream, &args), "attendRuns");
  }

 private:
  KvasirRunRows rows(int turn) const {
    const std::size_t starts = static_cast<std::size_t>(turn) * static_cast<std::size_t>(shape_.model.numKvHeads + 1);
    return {listStarts_.device<std::int32_t>(starts * sizeof(std::int32_t)), runs_.device<KvasirKvRun>(), 0};
  }

  // A head's runs lie at random places of the context: the fixed ones first, then what each turn has of its own.
  void makeLists(int fresh) {
    const int numRuns = shape_.contextTokens / shape_.runTokens, freshRuns = fresh / shape_.runTokens;
    const int fixedRuns = (shape_.tokens - fresh) / shape_.runTokens;
    std::vector<std::int32_t> starts;
    std::vector<KvasirKvRun> runs;
    std::mt19937 random(5);
    std::vector<std::vector<int>> orders;
    for (int head = 0; head < shape_.model.numKvHeads; ++head) {
      std::vector<int> order(static_cast<std::size_t>(numRuns));
      std::iota(order.begin(), order.end(), 0);
      std::shuffle(order.begin(), order.end(), random);
      orders.push_back(order);
    }
    for (int turn = 0; turn < turns_; ++turn) {
      starts.push_back(static_cast<std::int32_t>(runs.size()));
      for (const std::vector<int>& order : orders) {
        std::vector<int> own(order.begin(), order.begin() + fixedRuns);
        for (int i = 0; i < freshRuns; ++i) {
          own.push_back(order[static_cast<std::size_t>(fixedRuns + (turn * freshRuns + i) % (numRuns - fixedRuns))]);
        }
        std::sort(own.begin(), own.end());
        for (const int run : own) {
          const int token = run * shape_.runTokens;
          runs.push_back({token / KVASIR_PAGE_TOKENS, token % KVASIR_PAGE_TOKENS, shape_.runTokens});
        }
        starts.push_back(static_cast<std::int32_t>(runs.size()));
      }
    }
    listStarts_ = upload(gpu_, starts);
    runs_ = upload(gpu_, runs);
  }

  const Gpu& gpu_;
  TierShape shape_;
  int turns_ = 1;
  KvasirKvView view_{};
  KvasirHotRows hot_{};
  Memory rows_, slots_, tables_, state_, pages_, pageStarts_, listStarts_, runs_, q_, out_, keys_, starts_, bringSpace_, attendSpace_;
};

void runShape(Bench& bench, const TierShape& s, bool straight) {
  const Gpu& gpu = bench.gpu;
  const std::string head = std::to_string(s.tokens) + " of " + std::to_string(s.contextTokens) + " rows, runs of " + std::to_string(s.runTokens);
  const std::string shape = head + ", " + std::to_string(s.hotShare) + " % fixed";
  if (bench.late("tier", shape)) return;
  const TieredLayer layer(gpu, s);
  for (const int turn : {0, 1}) {
    layer.attend(gpu.stream(), turn, false);
    const std::vector<float> want = layer.out();
    layer.bring(gpu.stream(), turn);
    layer.attend(gpu.stream(), turn, true);
    const std::vector<float> got = layer.out();
    if (std::memcmp(got.data(), want.data(), want.size() * sizeof(float)) != 0) return bench.rows.wrong("tier", shape, "attention over slots differs");
  }

  // What a call moves in the long run.
  for (int turn = 0; turn < 2 * layer.turns(); ++turn) layer.bring(gpu.stream(), turn % layer.turns());
  const KvasirHotState before = layer.state();
  for (int turn = 0; turn < layer.turns(); ++turn) layer.bring(gpu.stream(), turn);
  const KvasirHotState after = layer.state();
  const double moved = static_cast<double>(after.movedRows - before.movedRows) / layer.turns();
  const double looked = static_cast<double>(after.hits - before.hits + after.misses - before.misses);
  bench.rows.value("tier", shape + ": found in slots", 100.0 * static_cast<double>(after.hits - before.hits) / looked, "%");

  Job bring;
  bring.work = [&](KvasirStream* stream, int turn) { layer.bring(stream, turn); };
  bring.amount = 4.0 * s.model.headDim * moved;
  bring.turns = layer.turns();
  const Job& link = bench.roofs.toDevice();
  bench.rows.timing("tier", shape + ": brought up", measure(gpu, bring, &link, bench.pace), "GB/s", "host to device");
  Job both = bring;
  both.work = [&](KvasirStream* stream, int turn) {
    layer.bring(stream, turn);
    layer.attend(stream, turn, true);
  };
  const Timing tiered = measure(gpu, both, &link, bench.pace);
  bench.rows.timing("tier", shape + ": and attended", tiered, "GB/s", "host to device");
  if (!straight) return;
  Job lie = bring;
  lie.work = [&](KvasirStream* stream, int turn) { layer.attend(stream, turn, false); };
  lie.amount = layer.stepBytes();
  bench.rows.timing("tier", head + ": attended where they lie", measure(gpu, lie, &link, bench.pace), "GB/s", "host to device");
}

}  // namespace

void steps::tier(Bench& bench) {
  if (bench.tiny) {
    TierShape tiny;
    tiny.model = {4, 2, 64};
    tiny.contextTokens = 256;
    tiny.tokens = 32;
    for (const int share : {0, 75}) {
      tiny.hotShare = share;
      runShape(bench, tiny, share == 0);
    }
    return;
  }
  for (const int runTokens : {1, 16}) {
    for (const int share : {0, 50, 90, 99}) {
      TierShape s;
      s.runTokens = runTokens;
      s.hotShare = share;
      runShape(bench, s, share == 0);
    }
  }
}

}  // namespace kvasir::gpu::bench
