// bringRows against a plain model of the cache: every byte of slots, tables, addresses and counts, over several steps of one life.
#include "tier_case.h"

namespace kvasir::gpu::test {
namespace {

std::vector<Life> lives(bool quick) {
  const std::vector<std::vector<int>> tokens = {{90}, {1}, {40, 130, 33}, {}, {200, 16}};
  const int slots[] = {1, 7, 33, 120, 600}, headDims[] = {64, 8, 128, 24, 256}, heads[] = {1, 2, 4};
  const double keeps[] = {0.1, 0.3, 0.9};
  std::vector<Life> all;
  for (int i = 0; i < 46; ++i) {
    const std::vector<int>& own = tokens[static_cast<std::size_t>(i % 5)];
    const bool blocks = i / 2 % 2 == 1;
    const TierShape shape = shapeFor(heads[i % 3], 1 + i % 2, headDims[i / 3 % 5], slots[(i + i / 5) % 5] / (blocks ? 4 : 1) + 1, blocks, own);
    all.push_back({shape, own, keeps[i / 4 % 3], 1 + i % 4 * 5, i % 7 == 3});
  }
  // More slots than the hand sees in one go, more misses than are numbered in one go, more runs than a block has threads.
  all.push_back({shapeFor(4, 1, 16, 2500, false, {900}), {900}, 0.6, 1, false});
  if (!quick) all.push_back({shapeFor(2, 2, 64, 5000, false, {1500, 1500}), {1500, 1500}, 0.7, 3, false});
  return all;
}

void live(Case& c, const Life& life) {
  TierCase tier(c, life.shape);
  const Tables tables = drawTables(c, life);
  RunLists lists;
  for (int step = 0; step < 6; ++step) {
    // The third step is the second again: nothing moves where all of it fits.
    if (step != 2) lists = drawLists(c, life, step == 4 ? 0.02 : life.keep);
    tier.bring(step == 3 ? 0 : kLayer, tables, lists, step % 2 == 1 ? 37 : 0, step == 5 ? 1 : 0);
    if (step % 2 == 0) tier.write(kLayer, drawDistinct(c.random, std::min(20, 16 * life.shape.numPages), 16 * life.shape.numPages));
    if (step == 3) tier.forget(drawDistinct(c.random, 2, life.shape.numPages));
  }
}

void replay(Suite& suite, bool blocks) {
  const Life life = {shapeFor(2, 2, 64, blocks ? 12 : 60, blocks, {150, 80}), {150, 80}, 0.2, 4, false};
  suite.run("bringRows", "a graph replayed over lists that change, " + nameOf(life), [&](Case& c) {
    TierCase tier(c, life.shape);
    const Tables tables = drawTables(c, life);
    Life most = life;
    most.longest = 1;
    RunLists lists = drawLists(c, most, 1.0);
    const TierCase::Bring b = tier.prepare(kLayer, tables, lists, 150);
    KvasirGraph* graph = nullptr;
    c.ok(c.gpu.beginCapture(c.stream), "beginCapture");
    const int status = c.gpu.bringRows(c.stream, &b.args);
    c.ok(c.gpu.endCapture(c.stream, &graph), "endCapture");
    c.ok(status, "bringRows");
    for (int step = 0; step < 4; ++step) {
      lists = drawLists(c, life, step == 2 ? 0.9 : 0.15);
      c.ok(c.gpu.copy(c.stream, b.starts.get(), lists.starts.data(), lists.starts.size() * sizeof(std::int32_t)), "copy");
      c.ok(c.gpu.copy(c.stream, b.runs.get(), lists.runs.data(), lists.runs.size() * sizeof(KvasirKvRun)), "copy");
      c.ok(c.gpu.launchGraph(graph, c.stream), "launchGraph");
      c.synchronize();
      tier.compare(b, tables, lists);
    }
    c.ok(c.gpu.destroyGraph(graph), "destroyGraph");
  });
}

// Attention over what bringRows gives has the bits of attention over the pages.
void attended(Suite& suite, bool blocks) {
  const Life life = {shapeFor(2, 2, 64, blocks ? 9 : 70, blocks, {150, 60}), {150, 60}, 0.3, 4, false};
  suite.run("bringRows", "attention over its rows, " + nameOf(life), [&](Case& c) {
    TierCase tier(c, life.shape);
    const Tables tables = drawTables(c, life);
    std::vector<std::int32_t> all;
    for (int slot = 0; slot < 16 * life.shape.numPages; ++slot) all.push_back(slot);
    tier.write(kLayer, all);
    for (const double keep : {0.1, 0.3, 1.0}) {
      const RunLists lists = drawLists(c, life, keep);
      const TierCase::Bring b = tier.prepare(kLayer, tables, lists, lists.longest());
      c.ok(c.gpu.bringRows(c.stream, &b.args), "bringRows");
      tier.compare(b, tables, lists);
      const std::size_t heads = life.tokens.size() * 4;
      const Buffer<float> q = c.upload(drawNormal(c.random, heads * 64));
      KvasirAttendRunsArgs args{};
      args.kv = tier.view();
      args.layer = kLayer;
      args.q = q.get();
      args.numHeads = 4;
      args.scale = 0.125f;
      args.numSequences = static_cast<std::int32_t>(life.tokens.size());
      args.pageStarts = b.pageStarts.get();
      args.pages = b.pages.get();
      args.rows = b.args.rows;
      args.maxTokens = b.args.maxTokens;
      args.workspaceBytes = kvasirAttendWorkspaceBytes(lists.rows(), 2, 64, args.maxTokens);
      const Buffer<std::uint8_t> workspace = c.upload(std::vector<std::uint8_t>(args.workspaceBytes, 0));
      args.workspace = workspace.get();
      std::vector<float> outs[2];
      for (int byAddress = 0; byAddress < 2; ++byAddress) {
        const Buffer<float> out = c.poisoned<float>(heads * 64, true);
        args.out = out.get();
        if (byAddress == 1) {
          args.keys = b.args.keys;
          args.rows = {b.args.starts, nullptr, 0};
        }
        c.ok(c.gpu.attendRuns(c.stream, &args), "attendRuns");
        outs[byAddress] = c.download(out);
      }
      c.same(outs[1], outs[0], "out");
    }
  });
}

void misuse(Suite& suite) {
  suite.run("bringRows", "misuse is refused", [](Case& c) {
    const Life life = {shapeFor(2, 2, 64, 20, false, {50}), {50}, 0.3, 4, false};
    TierCase tier(c, life.shape);
    const Tables tables = drawTables(c, life);
    const TierCase::Bring b = tier.prepare(kLayer, tables, drawLists(c, life, 0.3), 50);
    const auto refused = [&](const char* what, const std::function<void(KvasirBringRowsArgs&)>& change) {
      KvasirBringRowsArgs args = b.args;
      change(args);
      c.check(c.gpu.bringRows(c.stream, &args) == KVASIR_GPU_INVALID, std::string("not refused: ") + what);
    };
    refused("f32 rows", [](KvasirBringRowsArgs& a) { a.kv.type = KVASIR_F32; });
    refused("rows of 12 bytes", [](KvasirBringRowsArgs& a) { a.kv.headDim = 6; });
    refused("V rows elsewhere", [](KvasirBringRowsArgs& a) { a.kv.valueStride += 16; });
    refused("no heads", [](KvasirBringRowsArgs& a) { a.kv.numKvHeads = 0; });
    refused("heads in no groups", [](KvasirBringRowsArgs& a) { a.numHeads = 3; });
    refused("no slots", [](KvasirBringRowsArgs& a) { a.hot.numSlots = 0; });
    refused("too many slots", [](KvasirBringRowsArgs& a) { a.hot.numSlots = 0x7fffffff; });
    refused("negative counts", [](KvasirBringRowsArgs& a) { a.numSequences = -1; });
    refused("too many rows", [](KvasirBringRowsArgs& a) { a.maxTokens = 0x7fffffff; });
    refused("a small workspace", [](KvasirBringRowsArgs& a) { --a.workspaceBytes; });
    tier.compareTables();
  });
}

}  // namespace

void tests::bringRows(Suite& suite) {
  for (const Life& life : lives(suite.quick)) suite.run("bringRows", nameOf(life), [&](Case& c) { live(c, life); });
  for (const bool blocks : {false, true}) {
    replay(suite, blocks);
    attended(suite, blocks);
  }
  misuse(suite);
}

}  // namespace kvasir::gpu::test
