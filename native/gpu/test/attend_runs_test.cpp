// attendRuns against float64 on the stored bits, and the bits that it promises.
#include "attention_data.h"

namespace kvasir::gpu::test {
namespace {

struct Attended {
  std::vector<float> out, lse;
};

struct Call {
  bool exact = false;
  bool byAddress = false;
  bool inHostMemory = false;  // the rows, read where they lie
  int maxTokens = -1;         // -1: what the lists have
};

// What one call of the op is given, kept on the device.
class Attention {
 public:
  Attention(Case& c, const AttentionCache& cache, const std::vector<float>& q, float scale)
      : c_(c), cache_(cache), scale_(scale), pages_(c.upload(cache.pages)), starts_(c.upload(cache.pageStarts)), q_(c.upload(q)),
        bytes_(c.upload(cache.bytes)) {}

  Attended run(const RunLists& lists, const Call& call = {}) {
    const AttentionShape& s = cache_.shape;
    KvasirAttendRunsArgs args = argsOf(lists, call);
    void *host = nullptr, *mapped = bytes_.get();
    if (call.inHostMemory) {
      c_.ok(c_.gpu.allocateHost(c_.suite.device, cache_.bytes.size(), &host, &mapped), "allocateHost");
      std::memcpy(host, cache_.bytes.data(), cache_.bytes.size());
    }
    std::vector<std::int32_t> rowStarts = lists.starts;
    std::vector<const std::uint8_t*> keys;
    if (call.byAddress) {
      const int perSequence = lists.perQueryHead ? s.numHeads() : s.numKvHeads;
      for (int row = 0; row < lists.rows(); ++row) {
        const int kvHead = row % perSequence / (perSequence / s.numKvHeads);
        for (const int index : lists.indices(row)) {
          keys.push_back(static_cast<const std::uint8_t*>(mapped) + cache_.offsetOf(row / perSequence, index, kvHead, false));
        }
        rowStarts[static_cast<std::size_t>(row) + 1] = static_cast<std::int32_t>(keys.size());
      }
      args.pages = args.pageStarts = nullptr;
    }
    const Buffer<std::int32_t> starts = c_.upload(rowStarts);
    const Buffer<KvasirKvRun> runs = c_.upload(lists.runs);
    const Buffer<const std::uint8_t*> addresses = c_.upload(keys);
    args.kv.base = call.byAddress ? nullptr : static_cast<std::uint8_t*>(mapped);
    args.rows = {starts.get(), call.byAddress ? nullptr : runs.get(), lists.perQueryHead ? 1 : 0};
    args.keys = call.byAddress ? addresses.get() : nullptr;

    const std::size_t heads = static_cast<std::size_t>(s.numSequences() * s.numHeads());
    const Buffer<float> out = c_.poisoned<float>(heads * static_cast<std::size_t>(s.headDim), true), lse = c_.poisoned<float>(heads, true);
    const int group = lists.perQueryHead ? 1 : s.group;
    args.workspaceBytes = kvasirAttendWorkspaceBytes(lists.rows(), group, s.headDim, args.maxTokens);
    const Buffer<std::uint8_t> workspace = c_.poisoned<std::uint8_t>(args.workspaceBytes, true);
    c_.ok(c_.gpu.fill(c_.stream, workspace.get(), 0, kvasirAttendTicketBytes(lists.rows(), group)), "fill");
    args.out = out.get();
    args.lse = lse.get();
    args.workspace = workspace.get();
    // Twice over one workspace, since each call has to leave it as the next one needs it.
    c_.ok(c_.gpu.attendRuns(c_.stream, &args), "attendRuns");
    const Attended first{c_.download(out), c_.download(lse)};
    c_.ok(c_.gpu.attendRuns(c_.stream, &args), "attendRuns");
    const Attended second{c_.download(out), c_.download(lse)};
    if (host != nullptr) c_.ok(c_.gpu.releaseHost(c_.suite.device, host), "releaseHost");
    sameBits(second, first, "a second call over the same workspace");
    return first;
  }

  KvasirAttendRunsArgs argsOf(const RunLists& lists, const Call& call) const {
    KvasirAttendRunsArgs args{};
    args.kv = cache_.view;
    args.layer = kLayer;
    args.q = q_.get();
    args.numHeads = cache_.shape.numHeads();
    args.scale = scale_;
    args.numSequences = cache_.shape.numSequences();
    args.pageStarts = starts_.get();
    args.pages = pages_.get();
    args.maxTokens = call.maxTokens >= 0 ? call.maxTokens : lists.longest();
    args.exact = call.exact ? 1 : 0;
    return args;
  }

  void sameBits(const Attended& got, const Attended& want, const char* what) const {
    c_.same(got.out, want.out, what);
    c_.same(got.lse, want.lse, what);
  }

 private:
  Case& c_;
  const AttentionCache& cache_;
  float scale_;
  Buffer<std::int32_t> pages_, starts_;
  Buffer<float> q_;
  Buffer<std::uint8_t> bytes_;
};

void closeToExact(Case& c, const AttentionCache& cache, const std::vector<float>& q, float scale, const RunLists& lists,
                  const Attended& got, bool exact) {
  const AttentionShape& s = cache.shape;
  const bool inHalves = s.type == KVASIR_F16 && !exact;
  const double allowed = inHalves ? kAttendMma.norm : kAttendSimt.norm, lseAllowed = inHalves ? kAttendMma.absolute : kAttendSimt.absolute;
  std::vector<double> want;
  for (int head = 0; head < s.numSequences() * s.numHeads(); ++head) {
    const int kvHead = head % s.numHeads() / s.group, sequence = head / s.numHeads();
    const std::vector<int> indices = lists.indices(lists.perQueryHead ? head : sequence * s.numKvHeads + kvHead);
    const float* own = &q[static_cast<std::size_t>(head * s.headDim)];
    const double lse = cache.attend(sequence, kvHead, own, static_cast<double>(scale), indices, want);
    const double error = errorOf(&got.out[static_cast<std::size_t>(head * s.headDim)], want, static_cast<double>(s.scale), indices.size());
    c.check(error <= allowed, "head " + std::to_string(head) + " of " + std::to_string(indices.size()) + " rows is off by " + std::to_string(error * 1e6) + "e-6");
    const float gotLse = got.lse[static_cast<std::size_t>(head)];
    const bool sameLse = indices.empty() ? gotLse == -INFINITY : std::fabs(static_cast<double>(gotLse) - lse) <= lseAllowed;
    c.check(sameLse, "lse of head " + std::to_string(head) + " is " + std::to_string(gotLse) + ", expected " + std::to_string(lse));
  }
}

float scaleOf(const AttentionShape& s) { return 1.0f / std::sqrt(static_cast<float>(s.headDim)); }

std::vector<float> drawQueries(Case& c, const AttentionShape& s, float size = 1.0f) {
  return drawNormal(c.random, static_cast<std::size_t>(s.numSequences() * s.numHeads() * s.headDim), size);
}

RunLists everything(const AttentionShape& s) {
  RunLists lists;
  for (const int tokens : s.tokens) {
    for (int head = 0; head < s.numKvHeads; ++head) {
      for (int page = 0; page * 16 < tokens; ++page) lists.runs.push_back({page, 0, std::min(16, tokens - page * 16)});
      lists.close();
    }
  }
  return lists;
}

std::string nameOf(const AttentionShape& s, double keep, int longest) {
  std::string tokens;
  for (const int count : s.tokens) tokens += (tokens.empty() ? "" : "+") + std::to_string(count);
  return (s.type == KVASIR_F16 ? "f16 " : "f32 ") + std::to_string(s.numKvHeads) + "x" + std::to_string(s.group) + "x" +
         std::to_string(s.headDim) + ", tokens " + tokens + ", " + std::to_string(static_cast<int>(100 * keep)) + "% in runs of " +
         std::to_string(longest);
}

void runRandom(Suite& suite, const AttentionShape& s, double keep, int longest, bool emptyRow, bool exact) {
  suite.run("attendRuns", nameOf(s, keep, longest) + (exact ? ", exact" : ""), [&](Case& c) {
    const AttentionCache cache(c.random, s);
    RunLists lists;
    for (const int tokens : s.tokens) {
      for (int head = 0; head < s.numKvHeads; ++head) lists.add(c.random, tokens, emptyRow && head == 0 ? 0.0 : keep, longest);
    }
    const std::vector<float> q = drawQueries(c, s);
    Attention attention(c, cache, q, scaleOf(s));
    Call call;
    call.exact = exact;
    const Attended got = attention.run(lists, call);
    closeToExact(c, cache, q, scaleOf(s), lists, got, exact);
    attention.sameBits(attention.run(lists.halved(), call), got, "runs cut in two");
    attention.sameBits(attention.run(lists.expanded(s.group), call), got, "a row a query head");
    call.maxTokens = lists.longest() + 700;
    attention.sameBits(attention.run(lists, call), got, "a loose bound");
    call.byAddress = true;
    attention.sameBits(attention.run(lists, call), got, "rows by address");
    call.inHostMemory = true;
    attention.sameBits(attention.run(lists, call), got, "rows in host memory");
  });
}

void runPerQueryHead(Suite& suite, const AttentionShape& s) {
  suite.run("attendRuns", "rows a query head, " + nameOf(s, 0.3, 4), [&](Case& c) {
    const AttentionCache cache(c.random, s);
    RunLists lists;
    lists.perQueryHead = true;
    for (const int tokens : s.tokens) {
      for (int head = 0; head < s.numHeads(); ++head) lists.add(c.random, tokens, head % 3 == 1 ? 0.02 : 0.3, 4);
    }
    const std::vector<float> q = drawQueries(c, s);
    closeToExact(c, cache, q, scaleOf(s), lists, Attention(c, cache, q, scaleOf(s)).run(lists), false);
  });
}

// A sequence's answer does not depend on who is in the batch with it.
void runAlone(Suite& suite, const AttentionShape& s) {
  suite.run("attendRuns", "alone and in a batch, " + nameOf(s, 0.6, 16), [&](Case& c) {
    const AttentionCache cache(c.random, s);
    RunLists lists;
    for (const int tokens : s.tokens) {
      for (int head = 0; head < s.numKvHeads; ++head) lists.add(c.random, tokens, 0.6, 16);
    }
    const std::vector<float> q = drawQueries(c, s);
    const Attended all = Attention(c, cache, q, scaleOf(s)).run(lists);
    const std::size_t values = static_cast<std::size_t>(s.numHeads() * s.headDim);
    for (int sequence = 0; sequence < s.numSequences(); ++sequence) {
      AttentionCache own = cache;
      own.shape.tokens = {s.tokens[static_cast<std::size_t>(sequence)]};
      own.pages.assign(cache.pages.begin() + cache.pageStarts[static_cast<std::size_t>(sequence)], cache.pages.end());
      own.pageStarts = {0, cache.pageStarts[static_cast<std::size_t>(sequence) + 1] - cache.pageStarts[static_cast<std::size_t>(sequence)]};
      RunLists rows;
      for (int head = 0; head < s.numKvHeads; ++head) {
        const std::size_t row = static_cast<std::size_t>(sequence * s.numKvHeads + head);
        rows.runs.insert(rows.runs.end(), lists.runs.begin() + lists.starts[row], lists.runs.begin() + lists.starts[row + 1]);
        rows.close();
      }
      const std::size_t first = static_cast<std::size_t>(sequence) * values, heads = static_cast<std::size_t>(s.numHeads());
      const std::vector<float> ownQ(q.begin() + static_cast<std::ptrdiff_t>(first), q.begin() + static_cast<std::ptrdiff_t>(first + values));
      const Attended alone = Attention(c, own, ownQ, scaleOf(s)).run(rows);
      c.check(std::memcmp(alone.out.data(), &all.out[first], values * sizeof(float)) == 0, "out of a sequence alone");
      c.check(std::memcmp(alone.lse.data(), &all.lse[static_cast<std::size_t>(sequence) * heads], heads * sizeof(float)) == 0, "lse of a sequence alone");
    }
  });
}

void runOneToken(Suite& suite, int headDim, int type, bool exact) {
  const AttentionShape s = {type, 2, 3, headDim, {1}, 0, 3.0f};
  suite.run("attendRuns", "one token is returned as it is, " + nameOf(s, 1.0, 16) + (exact ? ", exact" : ""), [&](Case& c) {
    const AttentionCache cache(c.random, s);
    Call call;
    call.exact = exact;
    const Attended got = Attention(c, cache, drawQueries(c, s), scaleOf(s)).run(everything(s), call);
    std::vector<float> want;
    for (int head = 0; head < s.numHeads(); ++head) {
      for (const double value : cache.row(0, 0, head / s.group, true)) want.push_back(static_cast<float>(value));
    }
    c.same(got.out, want, "out");
  });
}

// Scores of +-1e4: the largest one wins alone. All equal: the mean.
void runExtremeScores(Suite& suite, int type, bool equal, bool exact) {
  const AttentionShape s = {type, 1, 3, 64, {150}};
  suite.run("attendRuns", std::string(equal ? "equal" : "huge") + " scores, " + nameOf(s, 1.0, 16) + (exact ? ", exact" : ""), [&](Case& c) {
    AttentionCache cache(c.random, s);
    for (int t = 0; t < 150; ++t) {
      const float score = equal ? 5.0f : (t % 2 ? -1e4f : 1e4f - 16.0f * static_cast<float>(t));
      cache.put(0, t, 0, false, std::vector<float>(64, score / 64.0f));
    }
    const std::vector<float> q(static_cast<std::size_t>(s.numHeads() * s.headDim), 1.0f);
    Call call;
    call.exact = exact;
    const Attended got = Attention(c, cache, q, 1.0f).run(everything(s), call);
    std::vector<int> all;
    for (int t = 0; t < 150; ++t) all.push_back(t);
    std::vector<double> want;
    cache.attend(0, 0, q.data(), 1.0, all, want);
    for (int h = 0; h < 3; ++h) c.check(errorOf(&got.out[static_cast<std::size_t>(64 * h)], want, 1.0, 150) <= 1e-3, "head " + std::to_string(h));
  });
}

void runTooLong(Suite& suite) {
  const AttentionShape s = {KVASIR_F16, 2, 4, 64, {300}};
  suite.run("attendRuns", "a list beyond the bound gives NaN and harms no later call", [&](Case& c) {
    const AttentionCache cache(c.random, s);
    const std::vector<float> q = drawQueries(c, s);
    RunLists lists;
    lists.add(c.random, 300, 1.0, 16);
    lists.add(c.random, 100, 1.0, 16);
    Call call;
    call.maxTokens = 128;
    const Attended got = Attention(c, cache, q, scaleOf(s)).run(lists, call);
    const std::size_t half = got.out.size() / 2;
    for (std::size_t i = 0; i < got.out.size(); ++i) c.check(std::isnan(got.out[i]) == (i < half), "value " + std::to_string(i));
    for (std::size_t i = 0; i < got.lse.size(); ++i) c.check(std::isnan(got.lse[i]) == (i < got.lse.size() / 2), "lse " + std::to_string(i));
  });
}

void runRefused(Suite& suite) {
  suite.run("attendRuns", "refuses what it does not do", [](Case& c) {
    const AttentionShape s = {KVASIR_F16, 2, 4, 64, {20}};
    const AttentionCache cache(c.random, s);
    const Attention attention(c, cache, drawQueries(c, s), 1.0f);
    const KvasirAttendRunsArgs good = attention.argsOf(everything(s), {});
    const auto refused = [&](const char* what, void (*spoil)(KvasirAttendRunsArgs&)) {
      KvasirAttendRunsArgs args = good;
      args.workspaceBytes = std::size_t{1} << 20;
      spoil(args);
      c.check(c.gpu.attendRuns(c.stream, &args) == KVASIR_GPU_INVALID, what);
      c.check(std::string(c.gpu.lastError()).find("attendRuns") == 0, "the text names the op");
    };
    refused("headDim 72", [](KvasirAttendRunsArgs& a) { a.kv.headDim = 72; });
    refused("headDim 272", [](KvasirAttendRunsArgs& a) { a.kv.headDim = 272; });
    refused("no headDim", [](KvasirAttendRunsArgs& a) { a.kv.headDim = 0; });
    refused("a type unknown", [](KvasirAttendRunsArgs& a) { a.kv.type = 7; });
    refused("heads that do not divide", [](KvasirAttendRunsArgs& a) { a.numHeads = 7; });
    refused("no heads", [](KvasirAttendRunsArgs& a) { a.numHeads = 0; });
    refused("a stride of no whole 16 bytes", [](KvasirAttendRunsArgs& a) { a.kv.valueStride += 8; });
    refused("fewer sequences than none", [](KvasirAttendRunsArgs& a) { a.numSequences = -1; });
    refused("fewer tokens than none", [](KvasirAttendRunsArgs& a) { a.maxTokens = -1; });
    refused("a small workspace", [](KvasirAttendRunsArgs& a) { a.workspaceBytes = kvasirAttendWorkspaceBytes(2, 4, 64, a.maxTokens) - 1; });
    KvasirAttendRunsArgs none = good;
    none.numSequences = 0;
    c.ok(c.gpu.attendRuns(c.stream, &none), "no sequences");
    c.synchronize();
  });
}

}  // namespace

void tests::attendRuns(Suite& suite) {
  const int headDims[] = {64, 128, 32, 80, 96, 48, 112}, longest[] = {16, 1, 3, 8};
  const double keeps[] = {1.0, 0.1, 0.5, 0.97};
  for (int group = 1; group <= 16; ++group) {
    for (const int type : {KVASIR_F16, KVASIR_F32}) {
      const int i = 2 * group + type;
      if (suite.quick && i % 2 != group % 2) continue;
      const std::vector<int> tokens = i % 3 == 0 ? std::vector<int>{140 + i, 0, 17} : i % 3 == 1 ? std::vector<int>{3 + i, 1} : std::vector<int>{260};
      const AttentionShape shape = {type, 1 + i % 2, group, headDims[i % 7], tokens, i % 4 == 0 ? 32 : 0};
      runRandom(suite, shape, keeps[i / 2 % 4], longest[i % 4], i % 5 == 0, false);
    }
  }
  for (const int headDim : {64, 128, 80, 256}) runRandom(suite, {KVASIR_F16, 2, 4, headDim, {200, 30}}, 0.7, 5, false, true);
  for (const int type : {KVASIR_F16, KVASIR_F32}) {
    runRandom(suite, {type, 1, 2, 256, {170}}, 0.9, 16, false, false);
    runRandom(suite, {type, 1, 3, 208, {50}}, 0.9, 16, false, false);
  }
  // Where the parts' length changes, and parts that end within a tile.
  for (const int tokens : {127, 128, 129, 2048, 2049}) runRandom(suite, {KVASIR_F16, 1, 3, 64, {tokens}}, 1.0, 16, false, false);
  if (!suite.quick) runRandom(suite, {KVASIR_F16, 1, 2, 32, {4000}}, 0.6, 16, false, false);
  runPerQueryHead(suite, {KVASIR_F16, 2, 3, 64, {300, 40}});
  runPerQueryHead(suite, {KVASIR_F32, 1, 5, 128, {90, 40}});
  runPerQueryHead(suite, {KVASIR_F16, 2, 4, 128, {0, 150}});
  runAlone(suite, {KVASIR_F16, 2, 4, 64, {300, 16, 1, 0, 140}});
  runAlone(suite, {KVASIR_F32, 1, 3, 80, {200, 16, 3}});
  for (const int headDim : {32, 64, 80, 128, 256}) {
    runOneToken(suite, headDim, KVASIR_F16, false);
    runOneToken(suite, headDim, KVASIR_F16, true);
    runOneToken(suite, headDim, KVASIR_F32, false);
  }
  for (const bool equal : {false, true}) {
    runExtremeScores(suite, KVASIR_F16, equal, false);
    runExtremeScores(suite, KVASIR_F16, equal, true);
    runExtremeScores(suite, KVASIR_F32, equal, false);
  }
  runTooLong(suite);
  runRefused(suite);
}

}  // namespace kvasir::gpu::test
