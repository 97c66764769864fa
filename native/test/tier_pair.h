// A plain and a tiered arena that are given the same rows, and sequences that live in both.
#pragma once

#include <functional>
#include <string>

#include "../cpu/simd/half.h"
#include "../tier/tiered_arena.h"
#include "attention_cache.h"
#include "attention_check.h"
#include "test_context.h"

namespace kvasir::test {

using namespace kvasir::tier;

constexpr int kPages = 24;

inline TierOptions hostOptions(const ArenaShape& shape, LowerType type, bool blocks, int slots) {
  return {type, blocks, false, false, HotRows::bytesFor(shape, blocks, slots) * shape.numLayers, {}, 0, false};
}

inline TierOptions fileOptions(const std::string& folder, const ArenaShape& shape, LowerType type, bool direct,
                               int slots) {
  static int number = 0;
  const std::string path = folder + "/" + std::to_string(number++);
  return {type, true, false, true, HotRows::bytesFor(shape, true, slots) * shape.numLayers, FileOptions{path, direct},
          3, number % 2 == 0};
}

// One sequence: its pages, and every row that it holds, which both arenas were given.
struct Sequence {
  std::vector<std::int32_t> pages;
  int tokens = 0;
};

// The same calls to a plain and a tiered arena. In q8 the plain one is given what comes back from q8.
class Pair {
 public:
  Pair(Checks& checks, Context& context, Random& random, const ArenaShape& s, const TierOptions& options, int group)
      : shape(s),
        tiered(s, options),
        plain(s),
        check(checks),
        context_(context),
        random_(random),
        group_(group),
        format_(options.lowerType, s.headDim) {
    for (int page = 0; page < s.capacityPages; ++page) free_.push_back(page);
    std::shuffle(free_.begin(), free_.end(), random);
  }

  const ArenaShape shape;
  TieredArena tiered;
  PlainArena plain;
  std::vector<Sequence> sequences;

  bool hasRoom(int tokens) const { return static_cast<int>(free_.size()) > tokens / kPageTokens + 1; }

  // Appends `rows` rows layer by layer and attends to them densely, as a prompt does.
  void prefill(Sequence& sequence, int rows) {
    const std::vector<std::int32_t> slots = append(sequence, rows);
    const std::size_t width = static_cast<std::size_t>(shape.numKvHeads * group_ * shape.headDim);
    const std::vector<float> q = drawNormal(random_, static_cast<std::size_t>(rows) * width);
    const std::int32_t rowStarts[] = {0, rows}, context[] = {sequence.tokens},
                       pageStarts[] = {0, static_cast<std::int32_t>(sequence.pages.size())};
    const Batch batch{1, rowStarts, context, pageStarts, sequence.pages.data()};
    for (int layer = 0; layer < shape.numLayers; ++layer) {
      write(layer, slots);
      std::vector<float> got(q.size()), want(q.size());
      const LayerRows rowsOf = tiered.layerRows(context_, layer, batch, 0);
      attendPrefill(context_, rowsOf.view, layer, q.data(), shape.numKvHeads * group_, 0.2f, 0, rowsOf.batch,
                    got.data());
      const LayerRows all = plain.layerRows(context_, layer, batch, 0);
      attendPrefill(context_, all.view, layer, q.data(), shape.numKvHeads * group_, 0.2f, 0, all.batch, want.data());
      check(sameBits(got, want), "prefill gives the bits of a plain arena", name, layer);
    }
  }

  // One token a sequence; each head reads its share of the rows, and the current one.
  void decode(const std::vector<int>& chosen, double keep) {
    std::vector<std::int32_t> slots, rowStarts{0}, contexts, pageStarts{0}, pages;
    for (int s : chosen) {
      const std::vector<std::int32_t> one = append(sequences[static_cast<std::size_t>(s)], 1);
      slots.push_back(one[0]);
      const Sequence& sequence = sequences[static_cast<std::size_t>(s)];
      rowStarts.push_back(rowStarts.back() + 1);
      contexts.push_back(sequence.tokens);
      pages.insert(pages.end(), sequence.pages.begin(), sequence.pages.end());
      pageStarts.push_back(static_cast<std::int32_t>(pages.size()));
    }
    const Batch batch{static_cast<int>(chosen.size()), rowStarts.data(), contexts.data(), pageStarts.data(),
                      pages.data()};
    const std::size_t heads = chosen.size() * static_cast<std::size_t>(shape.numKvHeads * group_);
    const std::vector<float> q = drawNormal(random_, heads * static_cast<std::size_t>(shape.headDim));
    for (int layer = 0; layer < shape.numLayers; ++layer) {
      write(layer, slots);
      drawLists(contexts, keep);
      attend(layer, batch, q);
    }
  }

  void attend(int layer, const Batch& batch, const std::vector<float>& q) {
    const std::size_t heads = q.size() / static_cast<std::size_t>(shape.headDim);
    std::vector<float> got(q.size()), want(q.size()), gotLse(heads), wantLse(heads);
    const RunRows rows{rowStarts_.data(), runs_.data()};
    const ListedRows hot = tiered.listedRows(context_, layer, batch, rows, shape.numKvHeads);
    for (std::size_t s = 0; s < likely_.size(); ++s)
      tiered.prefetch(layer, batch.pages + batch.pageStarts[s], likely_[s]);
    attendRuns(context_, hot.view, layer, q.data(), shape.numKvHeads * group_, 0.2f, batch, hot.rows, got.data(),
               gotLse.data());
    const ListedRows all = plain.listedRows(context_, layer, batch, rows, shape.numKvHeads);
    attendRuns(context_, all.view, layer, q.data(), shape.numKvHeads * group_, 0.2f, batch, all.rows, want.data(),
               wantLse.data());
    check(sameBits(got, want) && sameBits(gotLse, wantLse), "decode gives the bits of a plain arena", name, layer);
    checkKeys(layer, batch);
  }

  // What a selector reads, and what a caller does.
  void checkKeys(int layer, const Batch& batch) {
    const int s = drawInt(random_, 0, batch.numSequences - 1), head = drawInt(random_, 0, shape.numKvHeads - 1);
    const std::int32_t* pages = batch.pages + batch.pageStarts[s];
    std::vector<std::int32_t> indices;
    for (int index = 0; index < batch.contextTokens[s]; ++index) {
      if (drawInt(random_, 0, 3) == 0) indices.push_back(index);
    }
    const int count = static_cast<int>(indices.size());
    const std::size_t rowBytes = shape.rowBytes();
    std::vector<std::uint8_t> want(indices.size() * rowBytes), got(want);
    plain.gatherKeys(layer, head, pages, indices.data(), count, want.data());
    tiered.gatherKeys(layer, head, pages, indices.data(), count, got.data());
    check(got == want, "keys are gathered as they were written", name, layer);
    if (KeyRows* keys = tiered.keyRows(layer, pages)) {
      if (drawInt(random_, 0, 1) == 0) keys->expect(head, indices.data(), count);
      const std::uint8_t* const* rows = keys->rows(context_, head, indices.data(), count);
      bool same = true;
      for (std::size_t i = 0; i < indices.size(); ++i)
        same = same && std::memcmp(rows[i], want.data() + i * rowBytes, rowBytes) == 0;
      check(same, "a selector reads the keys as they were written", name, layer);
    }
  }

  void readBack(const Sequence& sequence) {
    for (int layer = 0; layer < shape.numLayers; ++layer) {
      for (int head = 0; head < shape.numKvHeads; ++head) {
        for (bool values : {false, true}) {
          const int start = drawInt(random_, 0, sequence.tokens);
          std::vector<float> got(static_cast<std::size_t>(sequence.tokens - start) *
                                 static_cast<std::size_t>(shape.headDim)),
              want(got);
          tiered.readRows(layer, head, values, sequence.pages.data(), start, sequence.tokens, got.data());
          plain.readRows(layer, head, values, sequence.pages.data(), start, sequence.tokens, want.data());
          check(sameBits(got, want), "rows are read as they were written", name, layer);
        }
      }
    }
  }

  // A copy of the last page, as a fork makes it before it writes.
  void fork(int from) {
    Sequence copy = sequences[static_cast<std::size_t>(from)];
    if (copy.tokens % kPageTokens != 0) {
      const std::int32_t own = free_.back();
      free_.pop_back();
      tiered.copyPage(copy.pages.back(), own);
      plain.copyPage(copy.pages.back(), own);
      copy.pages.back() = own;
    }
    sequences.push_back(copy);
  }

  // The pages go to whoever asks next. Pages that another sequence shares stay.
  void release(int s) {
    const Sequence gone = sequences[static_cast<std::size_t>(s)];
    sequences.erase(sequences.begin() + s);
    for (std::int32_t page : gone.pages) {
      bool shared = false;
      for (const Sequence& other : sequences)
        shared = shared || std::count(other.pages.begin(), other.pages.end(), page) > 0;
      if (!shared) free_.push_back(page);
    }
  }

  const char* name = "";

 private:
  Checks& check;

  std::vector<std::int32_t> append(Sequence& sequence, int rows) {
    std::vector<std::int32_t> slots;
    for (int i = 0; i < rows; ++i, ++sequence.tokens) {
      if (sequence.tokens % kPageTokens == 0) {
        sequence.pages.push_back(free_.back());
        free_.pop_back();
      }
      slots.push_back(sequence.pages.back() * kPageTokens + sequence.tokens % kPageTokens);
    }
    return slots;
  }

  void write(int layer, const std::vector<std::int32_t>& slots) {
    const std::size_t values = slots.size() * static_cast<std::size_t>(shape.numKvHeads * shape.headDim);
    std::vector<float> k = drawNormal(random_, values), v = drawNormal(random_, values);
    const int rows = static_cast<int>(slots.size());
    tiered.write(context_, layer, k.data(), v.data(), slots.data(), rows);
    if (format_.type() == LowerType::q8) {
      for (std::vector<float>* part : {&k, &v}) roundRows(*part);
    }
    plain.write(context_, layer, k.data(), v.data(), slots.data(), rows);
  }

  void roundRows(std::vector<float>& values) const {
    const std::size_t dim = static_cast<std::size_t>(shape.headDim);
    std::vector<std::uint8_t> part(format_.partBytes());
    std::vector<std::uint16_t> row(dim);
    for (std::size_t at = 0; at < values.size(); at += dim) {
      format_.encode(values.data() + at, 3, part.data());
      format_.decode(part.data(), 3, reinterpret_cast<std::uint8_t*>(row.data()));
      for (std::size_t i = 0; i < dim; ++i) values[at + i] = halfToFloat(row[i]);
    }
  }

  void drawLists(const std::vector<std::int32_t>& contexts, double keep) {
    rowStarts_.assign(1, 0);
    runs_.clear();
    likely_.assign(contexts.size(), {});
    std::bernoulli_distribution kept(keep);
    for (std::size_t s = 0; s < contexts.size(); ++s) {
      likely_[s].likelyStarts.assign(1, 0);
      for (int head = 0; head < shape.numKvHeads; ++head) {
        for (int index = 0; index < contexts[s]; ++index) {
          if (index + 1 != contexts[s] && !kept(random_)) {
            if (kept(random_)) likely_[s].likely.push_back(index);
            continue;
          }
          const bool joins = static_cast<int>(runs_.size()) > rowStarts_.back() && index % kPageTokens != 0 &&
                             runs_.back().page * kPageTokens + runs_.back().first + runs_.back().len == index;
          if (joins) ++runs_.back().len;
          else runs_.push_back({index / kPageTokens, index % kPageTokens, 1});
        }
        rowStarts_.push_back(static_cast<std::int32_t>(runs_.size()));
        likely_[s].likelyStarts.push_back(static_cast<std::int32_t>(likely_[s].likely.size()));
      }
    }
  }

  Context& context_;
  Random& random_;
  int group_;
  RowFormat format_;
  std::vector<std::int32_t> free_;
  std::vector<std::int32_t> rowStarts_;
  std::vector<KvRun> runs_;
  std::vector<ChosenRuns> likely_;
};

}  // namespace kvasir::test
