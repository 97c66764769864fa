// attendRunsI8 against float64 on the values that the codes stand for, and the bits that it promises.
#include "attention_data.h"

namespace kvasir::gpu::test {
namespace {

struct Attended {
  std::vector<float> out, lse;
};

// Pages of codes, and beside them pages of float32 with the values that they stand for. What no list names is 0xFF: codes of
// 255 and -1, and scales of V that are NaN; so are the scales of pages without a listed row.
class I8Cache {
 public:
  I8Cache(Random& random, const AttentionShape& s, const RunLists& lists) : values(random, s) {
    const std::size_t tile = kvasirI8TileBytes(s.headDim) + static_cast<std::size_t>(s.padding);
    view = {nullptr, 0, tile * static_cast<std::size_t>(s.numKvHeads), tile, s.numKvHeads, s.headDim};
    view.pageStride = kLayers * view.layerStride;
    bytes.assign(view.pageStride * (values.pages.size() + 3), 0xFF);
    const int perSequence = lists.perQueryHead ? s.numHeads() : s.numKvHeads;
    for (int row = 0; row < lists.rows(); ++row) {
      for (const int index : lists.indices(row)) put(random, row / perSequence, row % perSequence / (perSequence / s.numKvHeads), index);
    }
  }

  AttentionCache values;
  KvasirI8View view;  // without a base
  std::vector<std::uint8_t> bytes;

 private:
  void put(Random& random, int sequence, int head, int index) {
    const int dim = values.shape.headDim, token = index % 16;
    const std::size_t page = static_cast<std::size_t>(values.pages[static_cast<std::size_t>(values.pageStarts[static_cast<std::size_t>(sequence)] + index / 16)]);
    std::uint8_t* tile = &bytes[page * view.pageStride + kLayer * view.layerStride + static_cast<std::size_t>(head) * view.headStride];
    std::uint8_t *scales = tile + 32 * dim, *zeros = scales + 2 * dim, *tokenScale = zeros + 2 * dim + 2 * token;
    if (halfAt(scales) == 0xFFFF) {
      for (int i = 0; i < dim; ++i) {
        const float scale = 0.005f + 0.02f * static_cast<float>(random() % 256) / 256.0f;
        setHalf(scales + 2 * i, scale);
        setHalf(zeros + 2 * i, -127.0f * scale + static_cast<float>(static_cast<int>(random() % 64) - 32) / 16.0f);
      }
    }
    if (halfAt(tokenScale) == 0xFFFF) {
      setHalf(tokenScale, 0.01f + 0.03f * static_cast<float>(random() % 256) / 256.0f);
      for (int i = 0; i < dim; ++i) {
        tile[token * dim + i] = static_cast<std::uint8_t>(random());
        tile[(16 + token) * dim + i] = static_cast<std::uint8_t>(random());
      }
    }
    std::vector<float> key, value;
    for (int i = 0; i < dim; ++i) {
      const double scale = static_cast<double>(halfToFloat(halfAt(scales + 2 * i))), zero = static_cast<double>(halfToFloat(halfAt(zeros + 2 * i)));
      key.push_back(static_cast<float>(zero + scale * tile[token * dim + i]));
      value.push_back(halfToFloat(halfAt(tokenScale)) * static_cast<float>(static_cast<std::int8_t>(tile[(16 + token) * dim + i])));
    }
    values.put(sequence, index, head, false, key);
    values.put(sequence, index, head, true, value);
  }

  static std::uint16_t halfAt(const std::uint8_t* at) {
    std::uint16_t half;
    std::memcpy(&half, at, 2);
    return half;
  }
  static void setHalf(std::uint8_t* at, float value) {
    const std::uint16_t half = floatToHalf(value);
    std::memcpy(at, &half, 2);
  }
};

int pagesOf(const RunLists& lists) {
  int most = 0;
  for (int row = 0; row < lists.rows(); ++row) {
    int pages = 0, last = -1;
    for (const int index : lists.indices(row)) {
      if (index / 16 != last) ++pages;
      last = index / 16;
    }
    most = std::max(most, pages);
  }
  return most;
}

Attended attend(Case& c, const I8Cache& cache, const std::vector<float>& q, float scale, const RunLists& lists, int maxPages) {
  const AttentionShape& s = cache.values.shape;
  const Buffer<std::uint8_t> bytes = c.upload(cache.bytes);
  const Buffer<std::int32_t> pages = c.upload(cache.values.pages), pageStarts = c.upload(cache.values.pageStarts), starts = c.upload(lists.starts);
  const Buffer<KvasirKvRun> runs = c.upload(lists.runs);
  const Buffer<float> queries = c.upload(q);
  const std::size_t heads = static_cast<std::size_t>(s.numSequences() * s.numHeads());
  const Buffer<float> out = c.poisoned<float>(heads * static_cast<std::size_t>(s.headDim), true), lse = c.poisoned<float>(heads, true);
  KvasirAttendRunsI8Args args{};
  args.kv = cache.view;
  args.kv.base = bytes.get();
  args.layer = kLayer;
  args.q = queries.get();
  args.numHeads = s.numHeads();
  args.scale = scale;
  args.numSequences = s.numSequences();
  args.pageStarts = pageStarts.get();
  args.pages = pages.get();
  args.rows = {starts.get(), runs.get(), lists.perQueryHead ? 1 : 0};
  args.maxPages = maxPages;
  args.out = out.get();
  args.lse = lse.get();
  const int group = lists.perQueryHead ? 1 : s.group;
  args.workspaceBytes = kvasirAttendWorkspaceBytes(lists.rows(), group, s.headDim, 16 * maxPages);
  const Buffer<std::uint8_t> workspace = c.poisoned<std::uint8_t>(args.workspaceBytes, true);
  args.workspace = workspace.get();
  c.ok(c.gpu.fill(c.stream, workspace.get(), 0, kvasirAttendTicketBytes(lists.rows(), group)), "fill");
  c.ok(c.gpu.attendRunsI8(c.stream, &args), "attendRunsI8");
  const Attended first{c.download(out), c.download(lse)};
  c.ok(c.gpu.attendRunsI8(c.stream, &args), "attendRunsI8");
  c.same(c.download(out), first.out, "a second call over the same workspace");
  return first;
}

void sameBits(Case& c, const Attended& got, const Attended& want, const char* what) {
  c.same(got.out, want.out, what);
  c.same(got.lse, want.lse, what);
}

void run(Case& c, const AttentionShape& s, double keep, int longest, bool perQueryHead) {
  RunLists lists;
  lists.perQueryHead = perQueryHead;
  for (const int tokens : s.tokens) {
    for (int row = 0; row < (perQueryHead ? s.numHeads() : s.numKvHeads); ++row) lists.add(c.random, tokens, row % 4 == 3 ? 0.0 : keep, longest);
  }
  const I8Cache cache(c.random, s, lists);
  const std::vector<float> q = drawNormal(c.random, static_cast<std::size_t>(s.numSequences() * s.numHeads() * s.headDim));
  const float scale = 1.0f / std::sqrt(static_cast<float>(s.headDim));
  const int maxPages = pagesOf(lists);
  const Attended got = attend(c, cache, q, scale, lists, maxPages);
  std::vector<double> want;
  for (int head = 0; head < s.numSequences() * s.numHeads(); ++head) {
    const int kvHead = head % s.numHeads() / s.group, sequence = head / s.numHeads();
    const std::vector<int> indices = lists.indices(perQueryHead ? head : sequence * s.numKvHeads + kvHead);
    const double lse = cache.values.attend(sequence, kvHead, &q[static_cast<std::size_t>(head * s.headDim)], static_cast<double>(scale), indices, want);
    const double error = errorOf(&got.out[static_cast<std::size_t>(head * s.headDim)], want, 1.0, indices.size());
    c.check(error <= kAttendI8.norm, "head " + std::to_string(head) + " of " + std::to_string(indices.size()) + " rows is off by " + std::to_string(error * 1e6) + "e-6");
    const float gotLse = got.lse[static_cast<std::size_t>(head)];
    const bool sameLse = indices.empty() ? gotLse == -INFINITY : std::fabs(static_cast<double>(gotLse) - lse) <= kAttendI8.absolute;
    c.check(sameLse, "lse of head " + std::to_string(head) + " is " + std::to_string(gotLse) + ", expected " + std::to_string(lse));
  }
  sameBits(c, attend(c, cache, q, scale, lists.halved(), maxPages), got, "runs cut in two");
  if (!perQueryHead) sameBits(c, attend(c, cache, q, scale, lists.expanded(s.group), maxPages), got, "a row a query head");
  sameBits(c, attend(c, cache, q, scale, lists, maxPages + 40), got, "a loose bound");
}

std::string nameOf(const AttentionShape& s, double keep, int longest) {
  std::string tokens;
  for (const int count : s.tokens) tokens += (tokens.empty() ? "" : "+") + std::to_string(count);
  return std::to_string(s.numKvHeads) + "x" + std::to_string(s.group) + "x" + std::to_string(s.headDim) + ", tokens " + tokens + ", " +
         std::to_string(static_cast<int>(100 * keep)) + "% in runs of " + std::to_string(longest);
}

void runCase(Suite& suite, const AttentionShape& s, double keep, int longest, bool perQueryHead = false) {
  suite.run("attendRunsI8", nameOf(s, keep, longest) + (perQueryHead ? ", rows a query head" : ""),
            [&](Case& c) { run(c, s, keep, longest, perQueryHead); });
}

}  // namespace

void tests::attendRunsI8(Suite& suite) {
  const int headDims[] = {64, 128, 32, 96, 256, 160}, longest[] = {16, 1, 3, 8};
  const double keeps[] = {1.0, 0.1, 0.5, 0.97};
  for (int group = 1; group <= 16; ++group) {
    for (const bool second : {false, true}) {
      const int i = 2 * group + (second ? 1 : 0);
      if (suite.quick && i % 2 != group % 2) continue;
      const std::vector<int> tokens = i % 3 == 0 ? std::vector<int>{140 + i, 0, 17} : i % 3 == 1 ? std::vector<int>{3 + i, 1} : std::vector<int>{260};
      runCase(suite, {KVASIR_F32, 1 + i % 2, group, headDims[i % 6], tokens, i % 4 == 0 ? 32 : 0}, keeps[i / 2 % 4], longest[i % 4]);
    }
  }
  // Where the parts' length changes, and parts that end within a warp's turn.
  for (const int tokens : {1, 16, 127, 128, 129, 500, 2048, 2049}) runCase(suite, {KVASIR_F32, 1, 3, 32, {tokens}}, 1.0, 16);
  for (const int headDim : {64, 128, 256}) runCase(suite, {KVASIR_F32, 2, 3, headDim, {200, 40}}, 0.3, 4, true);
  runCase(suite, {KVASIR_F32, 4, 4, 128, {150, 0, 33}}, 0.7, 5);
  suite.run("attendRunsI8", "a list beyond the bound gives NaN and harms no later call", [](Case& c) {
    RunLists lists;
    lists.add(c.random, 300, 1.0, 16);
    lists.add(c.random, 100, 1.0, 16);
    const I8Cache cache(c.random, {KVASIR_F32, 2, 2, 64, {300}}, lists);
    const Attended got = attend(c, cache, drawNormal(c.random, 4 * 64), 0.1f, lists, 8);
    for (std::size_t i = 0; i < got.out.size(); ++i) c.check(std::isnan(got.out[i]) == (i < got.out.size() / 2), "value " + std::to_string(i));
  });
  suite.run("attendRunsI8", "refuses what it does not do", [](Case& c) {
    KvasirAttendRunsI8Args good{};
    good.kv = {nullptr, 4096, 4096, 4096, 2, 64};
    good.numHeads = 4;
    good.numSequences = 1;
    good.maxPages = 4;
    good.workspaceBytes = std::size_t{1} << 20;
    const auto refused = [&](const char* what, void (*spoil)(KvasirAttendRunsI8Args&)) {
      KvasirAttendRunsI8Args args = good;
      spoil(args);
      c.check(c.gpu.attendRunsI8(c.stream, &args) == KVASIR_GPU_INVALID, what);
    };
    refused("headDim 80", [](KvasirAttendRunsI8Args& a) { a.kv.headDim = 80; });
    refused("headDim 288", [](KvasirAttendRunsI8Args& a) { a.kv.headDim = 288; });
    refused("heads that do not divide", [](KvasirAttendRunsI8Args& a) { a.numHeads = 5; });
    refused("a stride of no whole 16 bytes", [](KvasirAttendRunsI8Args& a) { a.kv.headStride += 8; });
    refused("fewer pages than none", [](KvasirAttendRunsI8Args& a) { a.maxPages = -1; });
    refused("a small workspace", [](KvasirAttendRunsI8Args& a) { a.workspaceBytes = kvasirAttendWorkspaceBytes(2, 2, 64, 64) - 1; });
    good.numSequences = 0;
    c.ok(c.gpu.attendRunsI8(c.stream, &good), "no sequences");
    c.synchronize();
  });
}

}  // namespace kvasir::gpu::test
