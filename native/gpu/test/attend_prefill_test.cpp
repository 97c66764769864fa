// attendPrefill against float64 on the stored bits; and the bits of a row whatever rows stand beside it.
#include "prefill_case.h"

namespace kvasir::gpu::test {
namespace {

struct Answer {
  std::vector<float> out, lse;
};

struct How {
  int window = 0;
  int exact = 0;
  bool sideBySide = true;  // with a workspace
};

Answer prefill(Case& c, const AttentionCache& cache, const PrefillRows& rows, const How& how, unsigned seed = 1) {
  const AttentionShape& shape = cache.shape;
  const DeviceRows device(c, cache, rows, queriesOf(shape, seed, rows));
  const std::size_t places = static_cast<std::size_t>(rows.count() * shape.numHeads());
  const auto out = c.poisoned<float>(places * static_cast<std::size_t>(shape.headDim), true), lse = c.poisoned<float>(places, true);
  const int most = mostTokens(shape);
  const std::size_t bytes = kvasirAttendPrefillWorkspaceBytes(rows.count(), shape.numSequences(), shape.numHeads(), shape.numKvHeads, shape.headDim, most);
  const std::size_t ticketBytes = kvasirAttendPrefillTicketBytes(rows.count(), shape.numSequences(), shape.numHeads(), shape.numKvHeads);
  const auto workspace = c.poisoned<std::uint8_t>(bytes, true);
  if (bytes > 0) c.ok(c.gpu.fill(c.stream, workspace.get(), 0, ticketBytes), "fill");
  KvasirAttendPrefillArgs args{};
  args.kv = device.kv;
  args.layer = kLayer;
  args.q = device.q.get();
  args.numHeads = shape.numHeads();
  args.scale = scaleOf(shape);
  args.windowTokens = how.window;
  args.batch = device.batch;
  args.maxTokens = most;
  args.exact = how.exact;
  args.out = out.get();
  args.lse = lse.get();
  args.workspace = how.sideBySide && bytes > 0 ? workspace.get() : nullptr;
  args.workspaceBytes = bytes;
  c.ok(c.gpu.attendPrefill(c.stream, &args), "attendPrefill");
  c.synchronize();
  if (bytes > 0) {
    const std::vector<std::uint8_t> left = c.download(workspace);
    for (std::size_t i = 0; i < ticketBytes; ++i) c.check(left[i] == 0, "a ticket is not 0 again");
  }
  return {c.download(out), c.download(lse)};
}

// Of up to `samples` rows and heads: |out - exact| in units of its length, and lse.
void checkExact(Case& c, const AttentionCache& cache, const PrefillRows& rows, const How& how, const Answer& got, int samples) {
  const AttentionShape& shape = cache.shape;
  const bool isMma = shape.type == KVASIR_F16 && how.exact == 0 && shape.headDim % 16 == 0;
  for (int s = 0; s < shape.numSequences(); ++s) {
    const int first = rows.starts[static_cast<std::size_t>(s)], end = rows.starts[static_cast<std::size_t>(s) + 1];
    for (int sample = 0; sample < samples && first < end; ++sample) {
      const int row = sample == 0 ? first : sample == 1 ? end - 1 : drawInt(c.random, first, end - 1);
      const int head = drawInt(c.random, 0, shape.numHeads() - 1), position = rows.positions[static_cast<std::size_t>(row)];
      const std::vector<float> q = queryOf(shape, 1, s, position);
      const std::vector<int> seen = indicesSeen(position, how.window);
      std::vector<double> want;
      const double lse = cache.attend(s, head / shape.group, q.data() + head * shape.headDim, static_cast<double>(scaleOf(shape)), seen, want);
      const std::size_t place = static_cast<std::size_t>(row * shape.numHeads() + head);
      const double error = errorOf(&got.out[place * static_cast<std::size_t>(shape.headDim)], want, static_cast<double>(shape.scale), seen.size());
      const double bound = isMma ? kPrefillMma : kPrefillSimt, lseBound = isMma ? kPrefillMmaLse : kPrefillSimtLse;
      const std::string where = " of row " + std::to_string(row) + ", head " + std::to_string(head) + ": ";
      c.check(error <= bound, "error" + where + std::to_string(error));
      const double lseError = std::fabs(static_cast<double>(got.lse[place]) - lse);
      c.check(lseError <= lseBound * std::max(1.0, std::fabs(lse)), "lse error" + where + std::to_string(lseError));
    }
  }
}

// Rows of `some` among those of `all`, found by sequence and position.
Answer takenFrom(const Answer& all, const PrefillRows& allRows, const PrefillRows& some, const AttentionShape& shape) {
  Answer taken;
  const std::size_t heads = static_cast<std::size_t>(shape.numHeads()), values = heads * static_cast<std::size_t>(shape.headDim);
  for (std::size_t s = 0; s + 1 < some.starts.size(); ++s) {
    std::size_t from = static_cast<std::size_t>(allRows.starts[s]);
    for (std::size_t row = static_cast<std::size_t>(some.starts[s]); row < static_cast<std::size_t>(some.starts[s + 1]); ++row) {
      while (allRows.positions[from] != some.positions[row]) ++from;
      taken.out.insert(taken.out.end(), all.out.begin() + static_cast<std::ptrdiff_t>(from * values), all.out.begin() + static_cast<std::ptrdiff_t>((from + 1) * values));
      taken.lse.insert(taken.lse.end(), all.lse.begin() + static_cast<std::ptrdiff_t>(from * heads), all.lse.begin() + static_cast<std::ptrdiff_t>((from + 1) * heads));
    }
  }
  return taken;
}

void checkSame(Case& c, const Answer& got, const Answer& want, const char* what) {
  c.same(got.out, want.out, what);
  c.same(got.lse, want.lse, what);
}

std::string nameOf(const AttentionShape& s, const How& how, const std::string& rows) {
  std::string text = std::string(s.type == KVASIR_F16 ? "f16 " : "f32 ") + std::to_string(s.numKvHeads) + " x " + std::to_string(s.group) +
                     " x " + std::to_string(s.headDim) + ", " + rows + " of";
  for (const int tokens : s.tokens) text += " " + std::to_string(tokens);
  if (how.window > 0) text += ", window " + std::to_string(how.window);
  if (how.exact != 0) text += ", exact";
  if (s.padding > 0) text += ", apart";
  return text;
}

// Whole prompts, chunks of them, and the same rows some at a time: all with the same bits.
void testRows(Suite& suite, const AttentionShape& shape, const How& how) {
  suite.run("attendPrefill", nameOf(shape, how, "all rows"), [&](Case& c) {
    const AttentionCache cache(c.random, shape);
    const PrefillRows all = PrefillRows::last(shape.tokens, shape.tokens);
    const Answer dense = prefill(c, cache, all, how);
    checkExact(c, cache, all, how, dense, 6);
    const PrefillRows some = PrefillRows::some(c.random, shape.tokens, drawInt(c.random, 0, 1) ? 0.05 : 0.3);
    checkSame(c, prefill(c, cache, some, how), takenFrom(dense, all, some, shape), "some rows");
    std::vector<int> counts;
    for (const int tokens : shape.tokens) counts.push_back(tokens / 3);
    const PrefillRows ends = PrefillRows::last(shape.tokens, counts);
    checkSame(c, prefill(c, cache, ends, how), takenFrom(dense, all, ends, shape), "the last third");
  });
}

// Rows over more keys than a chunk: alone and together, side by side and not.
void testChunks(Suite& suite, const AttentionShape& shape, const How& how, const std::vector<std::vector<int>>& positions) {
  suite.run("attendPrefill", nameOf(shape, how, "far rows"), [&](Case& c) {
    const AttentionCache cache(c.random, shape);
    const PrefillRows rows = PrefillRows::at(positions);
    const Answer together = prefill(c, cache, rows, how);
    checkExact(c, cache, rows, how, together, 3);
    How alone = how;
    alone.sideBySide = false;
    checkSame(c, prefill(c, cache, rows, alone), together, "without a workspace");
    std::vector<std::vector<int>> few = positions;
    for (std::vector<int>& indices : few) {
      if (indices.size() > 1) indices.erase(indices.begin(), indices.end() - 1);
    }
    const PrefillRows last = PrefillRows::at(few);
    checkSame(c, prefill(c, cache, last, how), takenFrom(together, rows, last, shape), "the last row alone");
    checkSame(c, prefill(c, cache, last, alone), takenFrom(together, rows, last, shape), "the last row alone, without a workspace");
  });
}

// What a row does not see may hold anything, in the same call too.
void testLaterRows(Suite& suite, const AttentionShape& shape, const How& how, int seen) {
  suite.run("attendPrefill", nameOf(shape, how, "poison after " + std::to_string(seen)), [&](Case& c) {
    AttentionCache cache(c.random, shape);
    const PrefillRows all = PrefillRows::last(shape.tokens, shape.tokens);
    std::vector<int> firstRows;
    for (int index = 0; index < seen; ++index) firstRows.push_back(index);
    const PrefillRows early = PrefillRows::at({firstRows});
    const Answer before = takenFrom(prefill(c, cache, all, how), all, early, shape);
    for (const float poison : {NAN, seen % 2 == 0 ? INFINITY : -0.0f}) {
      for (int index = seen; index < shape.tokens[0]; ++index) {
        for (int head = 0; head < shape.numKvHeads; ++head) {
          std::vector<float> row(static_cast<std::size_t>(shape.headDim), poison);
          cache.put(0, index, head, false, row);
          if (index % 3 == 0) row.assign(row.size(), 1.0f), row[static_cast<std::size_t>(index) % row.size()] = poison;
          cache.put(0, index, head, true, row);
        }
      }
      const Answer after = prefill(c, cache, all, how);
      checkSame(c, takenFrom(after, all, early, shape), before, "earlier rows");
      if (std::isfinite(poison)) continue;
      const float last = after.out.back();
      c.check(!std::isfinite(last) || shape.type == KVASIR_F16, "the last row sees the poison");
    }
  });
}

// Scores far apart, scores all alike, one row alone.
void testEdges(Suite& suite, int type, int exact) {
  const std::string name = type == KVASIR_F16 ? (exact != 0 ? "f16 exact" : "f16") : "f32";
  How how;
  how.exact = exact;
  suite.run("attendPrefill", name + ", one token gives its own value", [&](Case& c) {
    const AttentionShape shape = {type, 2, 3, 64, {1, 1}};
    const AttentionCache cache(c.random, shape);
    const PrefillRows rows = PrefillRows::last(shape.tokens, {1, 1});
    const Answer got = prefill(c, cache, rows, how);
    for (int s = 0; s < 2; ++s) {
      for (int head = 0; head < 6; ++head) {
        const std::vector<double> want = cache.row(s, 0, head / 3, true);
        for (int i = 0; i < 64; ++i) {
          const double value = want[static_cast<std::size_t>(i)], off = static_cast<double>(got.out[static_cast<std::size_t>((s * 6 + head) * 64 + i)]) - value;
          // Exactly; but on tensor cores the weight is rounded, and the sum of weights is not.
          c.check(std::fabs(off) <= (type == KVASIR_F16 && exact == 0 ? 2e-6 * std::fabs(value) : 0.0), "out is v");
        }
      }
    }
  });
  suite.run("attendPrefill", name + ", scores far apart", [&](Case& c) {
    const AttentionShape shape = {type, 1, 2, 32, {150}};
    AttentionCache cache(c.random, shape);
    for (int index = 0; index < 150; ++index) {
      std::vector<float> key(32, 0.0f);
      key[0] = index == 70 ? 30000.0f : index % 2 == 0 ? -30000.0f : 20000.0f;
      cache.put(0, index, 0, false, key);
    }
    const PrefillRows rows = PrefillRows::at({{69, 70, 140}});
    const Answer got = prefill(c, cache, rows, how);
    checkExact(c, cache, rows, how, got, 8);
  });
  suite.run("attendPrefill", name + ", scores all alike", [&](Case& c) {
    const AttentionShape shape = {type, 1, 2, 32, {150}};
    AttentionCache cache(c.random, shape);
    for (int index = 0; index < 150; ++index) cache.put(0, index, 0, false, std::vector<float>(32, 0.5f));
    const PrefillRows rows = PrefillRows::at({{0, 63, 64, 149}});
    checkExact(c, cache, rows, how, prefill(c, cache, rows, how), 8);
  });
}

void testRefusals(Suite& suite) {
  suite.run("attendPrefill", "bad arguments are refused", [](Case& c) {
    const auto refuses = [&](const char* what, auto change) {
      KvasirAttendPrefillArgs args{};
      args.kv = viewOf({KVASIR_F16, 2, 2, 64, {}});
      args.numHeads = 4;
      args.scale = 1.0f;
      args.batch.numSequences = 1;
      args.maxTokens = 100;
      change(args);
      c.check(c.gpu.attendPrefill(c.stream, &args) == KVASIR_GPU_INVALID, std::string("not refused: ") + what);
      c.check(std::string(c.gpu.lastError()).find("attendPrefill") != std::string::npos, "the text names the op");
    };
    refuses("an unknown type", [](auto& a) { a.kv.type = 7; });
    refuses("headDim 0", [](auto& a) { a.kv.headDim = 0; });
    refuses("headDim 12 of f16", [](auto& a) { a.kv.headDim = 12; });
    refuses("headDim 272", [](auto& a) { a.kv.headDim = 272; });
    refuses("an odd stride", [](auto& a) { a.kv.pageStride += 8; });
    refuses("heads that do not divide", [](auto& a) { a.numHeads = 5; });
    refuses("no KV heads", [](auto& a) { a.kv.numKvHeads = 0; });
    refuses("a group of 33", [](auto& a) { a.kv.numKvHeads = 1, a.numHeads = 33; });
    refuses("negative rows", [](auto& a) { a.batch.numRows = -1; });
    refuses("a small workspace", [](auto& a) {
      a.batch.numRows = 1;
      a.maxTokens = 5000;
      a.workspace = &a;
      a.workspaceBytes = 16;
    });
  });
  suite.run("attendPrefill", "no rows", [](Case& c) {
    const AttentionShape shape = {KVASIR_F16, 2, 2, 64, {20, 0, 7}};
    const AttentionCache cache(c.random, shape);
    const Answer got = prefill(c, cache, PrefillRows::last(shape.tokens, {0, 0, 0}), {});
    c.check(got.out.empty(), "nothing comes of nothing");
  });
  suite.run("attendPrefill", "more keys than maxTokens", [](Case& c) {
    const AttentionShape shape = {KVASIR_F16, 1, 2, 32, {2100}};
    const AttentionCache cache(c.random, shape);
    const PrefillRows rows = PrefillRows::last(shape.tokens, {1});
    const DeviceRows device(c, cache, rows, queriesOf(shape, 1, rows));
    const auto out = c.poisoned<float>(64);
    const std::size_t bytes = kvasirAttendPrefillWorkspaceBytes(1, 1, 2, 1, 32, 1100);
    const auto workspace = c.poisoned<std::uint8_t>(bytes);
    c.ok(c.gpu.fill(c.stream, workspace.get(), 0, bytes), "fill");
    KvasirAttendPrefillArgs args{};
    args.kv = device.kv;
    args.layer = kLayer;
    args.q = device.q.get();
    args.numHeads = 2;
    args.scale = 1.0f;
    args.batch = device.batch;
    args.maxTokens = 1100;
    args.out = out.get();
    args.workspace = workspace.get();
    args.workspaceBytes = bytes;
    c.ok(c.gpu.attendPrefill(c.stream, &args), "attendPrefill");
    c.synchronize();
    for (const float value : c.download(out)) c.check(std::isnan(value), "NaN, not a part of the answer");
  });
}

}  // namespace

void tests::attendPrefill(Suite& suite) {
  testRefusals(suite);
  for (const int headDim : {64, 128, 32, 80, 96}) {
    testRows(suite, {KVASIR_F16, 1, 2, headDim, {70}}, {});
    testRows(suite, {KVASIR_F32, 1, 2, headDim, {70}}, {});
  }
  for (const int group : {1, 3, 5, 7, 16}) {
    testRows(suite, {KVASIR_F16, 2, group, 32, {40, 1, 17}}, {});
    testRows(suite, {KVASIR_F32, 2, group, 32, {40, 1, 17}}, {});
  }
  for (const int window : {1, 9, 64, 100}) {
    testRows(suite, {KVASIR_F16, 1, 3, 64, {150}}, {window});
    testRows(suite, {KVASIR_F32, 1, 3, 16, {150}}, {window});
  }
  testRows(suite, {KVASIR_F16, 1, 2, 64, {70, 33}}, {0, 1});
  testRows(suite, {KVASIR_F16, 2, 2, 40, {50, 64}}, {});
  testRows(suite, {KVASIR_F16, 1, 2, 8, {50}}, {20});
  testRows(suite, {KVASIR_F32, 1, 2, 20, {50}}, {});
  testRows(suite, {KVASIR_F16, 1, 2, 256, {40}}, {});
  testRows(suite, {KVASIR_F32, 1, 2, 256, {35}}, {});
  testRows(suite, {KVASIR_F16, 1, 1, 256, {20}}, {0, 1});
  testRows(suite, {KVASIR_F16, 8, 1, 16, {140}}, {});      // tiles of 128 lanes
  testRows(suite, {KVASIR_F16, 2, 8, 64, {80}}, {33});     // the same
  if (!suite.quick) testRows(suite, {KVASIR_F16, 8, 1, 128, {129}}, {});  // the same
  testRows(suite, {KVASIR_F16, 2, 2, 64, {64, 48, 16}, 32, 3.0f}, {});
  testRows(suite, {KVASIR_F16, 1, 32, 16, {20, 5}}, {});
  testRows(suite, {KVASIR_F32, 1, 32, 16, {20, 5}}, {});
  const std::vector<std::vector<int>> far = {{3, 1000, 1023, 1024, 1060, 2110}, {1040}};
  testChunks(suite, {KVASIR_F16, 1, 2, 32, {2111, 1041}}, {}, far);
  testChunks(suite, {KVASIR_F32, 1, 2, 16, {2111, 1041}}, {}, far);
  testChunks(suite, {KVASIR_F16, 1, 2, 16, {2111, 1041}}, {0, 1}, far);
  testChunks(suite, {KVASIR_F16, 1, 3, 16, {2111, 1041}}, {700}, far);
  testChunks(suite, {KVASIR_F16, 1, 1, 144, {1100}}, {}, {{5, 1099}});
  if (!suite.quick) testChunks(suite, {KVASIR_F16, 1, 2, 64, {3100}}, {}, {{1023, 2047, 2048, 3071, 3099}});
  for (const int seen : {1, 15, 37, 64, 100}) {
    testLaterRows(suite, {KVASIR_F16, 1, 2, 32, {130}}, {}, seen);
    testLaterRows(suite, {KVASIR_F32, 1, 1, 16, {130}}, {}, seen);
  }
  testLaterRows(suite, {KVASIR_F16, 1, 2, 144, {70}}, {}, 37);
  testEdges(suite, KVASIR_F16, 0);
  testEdges(suite, KVASIR_F16, 1);
  testEdges(suite, KVASIR_F32, 0);
}

}  // namespace kvasir::gpu::test
