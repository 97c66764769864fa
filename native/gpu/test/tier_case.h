// A tiered cache on the device beside its model, and lives that it is led through.
#pragma once

#include "tier_model.h"

namespace kvasir::gpu::test {

inline std::vector<std::uint8_t> drawBytes(Random& random, std::size_t count) {
  std::vector<std::uint8_t> bytes(count);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

inline KvasirKvView viewOf(const TierShape& s) {
  return viewOf(AttentionShape{KVASIR_F16, s.numKvHeads, s.group, s.headDim, {}});
}

using Tables = std::vector<std::vector<std::int32_t>>;  // pages, a sequence

// The cache on the device beside its model.
class TierCase {
 public:
  TierCase(Case& c, const TierShape& s)
      : c_(c), shape_(s), view_(viewOf(s)),
        model(s, view_, drawBytes(c.random, view_.pageStride * static_cast<std::size_t>(s.numPages))),
        rows_(c.poisoned<std::uint8_t>(kLayers * s.slotBytes())),
        places_(c.upload(std::vector<std::int32_t>(static_cast<std::size_t>(kLayers * s.numUnits()), 0))),
        units_(c.upload(std::vector<std::uint32_t>(static_cast<std::size_t>(kLayers * s.numSlots), 0))),
        stamps_(c.upload(std::vector<std::uint32_t>(static_cast<std::size_t>(kLayers * s.numSlots), 0))),
        taken_(c.poisoned<std::int32_t>(static_cast<std::size_t>(kLayers * s.numSlots))),
        state_(c.upload(std::vector<std::uint8_t>(kLayers * sizeof(KvasirHotState), 0))) {
    void* mapped = nullptr;
    c.ok(c.gpu.allocateHost(c.suite.device, model.bytes.size(), &host_, &mapped), "allocateHost");
    std::memcpy(host_, model.bytes.data(), model.bytes.size());
    view_.base = static_cast<std::uint8_t*>(mapped);
  }
  ~TierCase() {
    c_.gpu.synchronizeStream(c_.stream);
    c_.gpu.releaseHost(c_.suite.device, host_);
  }

  KvasirHotRows hot() const {
    return {rows_.get(), shape_.numSlots, shape_.numUnits(), shape_.blocks ? 1 : 0, places_.get(), units_.get(), stamps_.get(), taken_.get(),
            reinterpret_cast<KvasirHotState*>(state_.get())};
  }
  const KvasirKvView& view() const { return view_; }

  // Lists and page tables in device memory, and what the op gives: kept while a graph may name them.
  struct Bring {
    Buffer<std::int32_t> pageStarts, pages, starts, outStarts;
    Buffer<KvasirKvRun> runs;
    Buffer<const std::uint8_t*> keys;
    Buffer<std::uint8_t> workspace;
    KvasirBringRowsArgs args{};
  };

  Bring prepare(int layer, const Tables& tables, const RunLists& lists, int maxTokens, int maxBlocks = 0) {
    std::vector<std::int32_t> starts{0}, pages;
    for (const std::vector<std::int32_t>& own : tables) {
      pages.insert(pages.end(), own.begin(), own.end());
      starts.push_back(static_cast<std::int32_t>(pages.size()));
    }
    Bring b;
    b.pageStarts = c_.upload(starts);
    b.pages = c_.upload(pages);
    b.starts = c_.upload(lists.starts);
    b.runs = c_.upload(lists.runs);
    b.keys = c_.poisoned<const std::uint8_t*>(static_cast<std::size_t>(lists.rows() * maxTokens));
    b.outStarts = c_.poisoned<std::int32_t>(static_cast<std::size_t>(lists.rows()) + 1);
    b.workspace = c_.poisoned<std::uint8_t>(kvasirBringRowsWorkspaceBytes(lists.rows(), static_cast<std::int32_t>(tables.size()), maxTokens));
    b.args.kv = view_;
    b.args.layer = layer;
    b.args.numHeads = shape_.numKvHeads * shape_.group;
    b.args.hot = hot();
    b.args.numSequences = static_cast<std::int32_t>(tables.size());
    b.args.pageStarts = b.pageStarts.get();
    b.args.pages = b.pages.get();
    b.args.rows = {b.starts.get(), b.runs.get(), lists.perQueryHead ? 1 : 0};
    b.args.maxTokens = maxTokens;
    b.args.maxBlocks = maxBlocks;
    b.args.keys = b.keys.get();
    b.args.starts = b.outStarts.get();
    b.args.workspace = b.workspace.get();
    b.args.workspaceBytes = b.workspace.size();
    return b;
  }

  // What the op gave for these lists, once it ran.
  void compare(const Bring& b, const Tables& tables, const RunLists& lists) {
    const std::vector<TierModel::Place> want = model.bring(b.args.layer, tables, lists);
    if (lists.rows() > 0) {
      std::vector<std::int32_t> starts{0};
      for (int list = 0; list < lists.rows(); ++list) starts.push_back(starts.back() + static_cast<std::int32_t>(lists.indices(list).size()));
      c_.same(c_.download(b.outStarts), starts, "starts");
      const std::vector<const std::uint8_t*> got = c_.download(b.keys);
      const std::uint8_t* slots = rows_.get() + static_cast<std::size_t>(b.args.layer) * shape_.slotBytes();
      for (std::size_t i = 0; i < want.size(); ++i) {
        c_.check(got[i] == (want[i].hot ? slots : view_.base) + want[i].offset, "row " + std::to_string(i) + " lies elsewhere");
      }
    }
    compareTables();
  }

  void compareTables() {
    c_.synchronize();
    const std::size_t bytes = model.bytes.size();
    c_.check(std::memcmp(host_, model.bytes.data(), bytes) == 0, "rows differ");
    TierModel::Layer all;
    std::vector<KvasirHotState> states;
    for (const TierModel::Layer& layer : model.layers) {
      all.places.insert(all.places.end(), layer.places.begin(), layer.places.end());
      all.units.insert(all.units.end(), layer.units.begin(), layer.units.end());
      all.stamps.insert(all.stamps.end(), layer.stamps.begin(), layer.stamps.end());
      all.rows.insert(all.rows.end(), layer.rows.begin(), layer.rows.end());
      states.push_back(layer.state);
    }
    c_.same(c_.download(places_), all.places, "places");
    c_.same(c_.download(units_), all.units, "units");
    c_.same(c_.download(stamps_), all.stamps, "stamps");
    c_.same(c_.download(rows_), all.rows, "slots");
    const std::vector<std::uint8_t> state = c_.download(state_);
    for (std::size_t layer = 0; layer < states.size(); ++layer) {
      KvasirHotState got;
      std::memcpy(&got, &state[layer * sizeof got], sizeof got);
      const KvasirHotState& want = states[layer];
      const std::string name = "layer " + std::to_string(layer) + ": ";
      c_.check(got.hits == want.hits && got.misses == want.misses, name + std::to_string(got.hits) + " hits, " + std::to_string(got.misses) + " misses, expected " + std::to_string(want.hits) + ", " + std::to_string(want.misses));
      c_.check(got.movedRows == want.movedRows && got.overflows == want.overflows, name + std::to_string(got.movedRows) + " rows moved, expected " + std::to_string(want.movedRows));
      c_.check(got.now == want.now && got.hand == want.hand && got.filled == want.filled, name + "now, hand or filled");
      c_.check(got.tickets[0] == 0 && got.tickets[1] == 0, name + "tickets are not 0");
    }
  }

  void bring(int layer, const Tables& tables, const RunLists& lists, int looser = 0, int maxBlocks = 0) {
    const Bring b = prepare(layer, tables, lists, lists.longest() + looser, maxBlocks);
    c_.ok(c_.gpu.bringRows(c_.stream, &b.args), "bringRows");
    compare(b, tables, lists);
  }

  void forget(const std::vector<std::int32_t>& pages) {
    const Buffer<std::int32_t> list = c_.upload(pages);
    const KvasirForgetPagesArgs args{hot(), kLayers, shape_.numKvHeads, list.get(), static_cast<std::int32_t>(pages.size())};
    c_.ok(c_.gpu.forgetPages(c_.stream, &args), "forgetPages");
    for (const std::int32_t page : pages) model.forget(page);
    compareTables();
  }

  void write(int layer, const std::vector<std::int32_t>& slots) {
    const std::size_t values = slots.size() * static_cast<std::size_t>(shape_.numKvHeads * shape_.headDim);
    const std::vector<float> keys = drawNormal(c_.random, values), rest = drawNormal(c_.random, values);
    const Buffer<std::int32_t> list = c_.upload(slots);
    const Buffer<float> k = c_.upload(keys), v = c_.upload(rest);
    const KvasirWriteTieredArgs args{{view_, layer, list.get()}, hot(), k.get(), v.get(), static_cast<std::int32_t>(slots.size())};
    c_.ok(c_.gpu.writeTiered(c_.stream, &args), "writeTiered");
    model.write(layer, keys, rest, slots);
    compareTables();
  }

 private:
  Case& c_;
  const TierShape shape_;
  KvasirKvView view_;
  void* host_ = nullptr;

 public:
  TierModel model;

 private:
  Buffer<std::uint8_t> rows_;
  Buffer<std::int32_t> places_;
  Buffer<std::uint32_t> units_, stamps_;
  Buffer<std::int32_t> taken_;
  Buffer<std::uint8_t> state_;
};

struct Life {
  TierShape shape;
  std::vector<int> tokens;  // a sequence
  double keep;
  int longest;
  bool perQueryHead;
};

inline std::string nameOf(const Life& life) {
  std::string tokens;
  for (const int count : life.tokens) tokens += (tokens.empty() ? "" : "+") + std::to_string(count);
  const TierShape& s = life.shape;
  return std::to_string(s.numSlots) + (s.blocks ? " blocks of " : " rows of ") + std::to_string(s.numKvHeads) + "x" + std::to_string(s.group) + "x" +
         std::to_string(s.headDim) + ", tokens " + (tokens.empty() ? "none" : tokens) + ", " + std::to_string(static_cast<int>(100 * life.keep)) +
         "% in runs of " + std::to_string(life.longest) + (life.perQueryHead ? ", a list a query head" : "");
}

// Sequences whose first two pages are the same ones.
inline Tables drawTables(Case& c, const Life& life) {
  const std::vector<std::int32_t> order = drawDistinct(c.random, life.shape.numPages, life.shape.numPages);
  std::size_t next = 2;
  Tables tables;
  for (const int tokens : life.tokens) {
    std::vector<std::int32_t> own;
    for (int page = 0; page < (tokens + 15) / 16; ++page) own.push_back(page < 2 ? order[static_cast<std::size_t>(page)] : order[next++]);
    tables.push_back(own);
  }
  return tables;
}

inline RunLists drawLists(Case& c, const Life& life, double keep) {
  RunLists lists;
  lists.perQueryHead = life.perQueryHead;
  const int heads = life.shape.numKvHeads * (life.perQueryHead ? life.shape.group : 1);
  for (const int tokens : life.tokens) {
    for (int head = 0; head < heads; ++head) lists.add(c.random, tokens, head == 1 && keep < 0.5 ? 0.0 : keep, life.longest);
  }
  return lists;
}

inline TierShape shapeFor(int heads, int group, int headDim, int slots, bool blocks, const std::vector<int>& tokens) {
  int pages = 3;
  for (const int count : tokens) pages += (count + 15) / 16;
  return {heads, group, headDim, pages, slots, blocks};
}

}  // namespace kvasir::gpu::test
