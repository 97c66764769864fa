#include "steps.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "failure.h"
#include "transfer.h"

namespace kvasir {

void EmbedRowsStep::execute(Context& context, Run& run) const {
  embedRows(context, *table, run.indices(ids), run.counts.of(rows), out, static_cast<std::size_t>(table->cols));
}

void RmsNormStep::execute(Context& context, Run& run) const {
  rmsNorm(context, x, weight, eps, run.counts.of(rows), groups, dim, out);
}

void LinearStep::execute(Context& context, Run& run) const {
  const std::size_t cols = static_cast<std::size_t>(parts[0].weight->cols);
  const int count = static_cast<int>(parts.size());
  linear(context, x, cols, run.counts.of(rows), parts.data(), count, path, mode);
}

void RopeStep::execute(Context& context, Run& run) const {
  ropeRows(context, x, cos, sin, pairing, run.counts.of(rows), numHeads, headDim, rotaryDim);
}

void SiluGateStep::execute(Context& context, Run& run) const {
  siluGate(context, gate, up, run.counts.of(rows), dim, out);
}

void GatherRowsStep::execute(Context& context, Run& run) const {
  gatherRows(context, x, run.indices(ids), run.counts.of(rows), dim, out);
}

void WriteKvStep::execute(Context& context, Run& run) const {
  arena->write(context, layer, keys, values, run.indices(slots), run.counts.of(rows));
}

void CompareKvStep::execute(Context& context, Run& run) const {
  compareRows(context, *arena, layer, keys, values, run.indices(slots), run.counts.of(rows), out);
}

void AttendPrefillStep::execute(Context& context, Run& run) const {
  const LayerRows rows = arena->layerRows(context, layer, batch.of(run), 0);
  attendPrefill(context, rows.view, layer, q, numHeads, scale, windowTokens, rows.batch, out, lse);
}

void AttentionMassStep::execute(Context& context, Run& run) const {
  const Batch sequences = batch.of(run);
  if (sequences.numSequences > 1) throw Failure{"sequences", "at most 1", std::to_string(sequences.numSequences)};
  if (sequences.numSequences == 1 && sequences.contextTokens[0] > massStride) {
    throw Failure{"contextTokens[0]", "at most massStride", std::to_string(sequences.contextTokens[0])};
  }
  const LayerRows rows = arena->layerRows(context, layer, sequences, 0);
  if (context.cancelled()) return;
  attentionMass(context, rows.view, layer, q, numHeads, scale, windowTokens, rows.batch, lse, mass,
                static_cast<std::size_t>(massStride));
}

namespace {

// Of an arena that does not keep its rows by address: their type and sizes alone.
KvView viewOf(const Arena& arena) {
  if (arena.view() != nullptr) return *arena.view();
  KvView view{};
  view.type = arena.shape.type;
  view.numKvHeads = arena.shape.numKvHeads;
  view.headDim = arena.shape.headDim;
  return view;
}

KeptView keptOf(const Run& run, int sequence, const Arena& arena, int layer) {
  const KeptRows* kept = run.kept[sequence];
  if (kept == nullptr) return {};
  if (kept->numLayers() == arena.shape.numLayers && kept->numKvHeads() == arena.shape.numKvHeads) return kept->view(layer);
  throw Failure{"kept[" + std::to_string(sequence) + "]", "as many layers and KV heads as the arena", "others"};
}

}  // namespace

void SelectRunsStep::execute(Context& context, Run& run) const {
  const Batch sequences = batch.of(run);
  for (int s = 0; s < sequences.numSequences; ++s) {
    const SelectorChoice& choice = run.selectors[s];
    const int numTokens = sequences.contextTokens[s];
    const KeptView kept = keptOf(run, s, *arena, layer);
    if (choice.kind == SelectorChoice::all) {
      lists->setSpan(s, windowTokens > 0 ? std::max(0, numTokens - windowTokens) : 0, numTokens);
    } else if (choice.kind == SelectorChoice::native) {
      const float* query = q + static_cast<std::size_t>(s) * numHeads * arena->shape.headDim;
      const std::int32_t* pages = sequences.pages + sequences.pageStarts[s];
      const SelectInput input{viewOf(*arena), layer, query, numHeads, scale, numTokens, pages, kept,
                              arena->keyRows(layer, pages), arena->wantsLikely()};
      const auto start = std::chrono::steady_clock::now();
      choice.selector->select(context, input, lists->rewrite(s));
      const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
      choice.selector->counts.ms += took.count();
      if (context.cancelled()) lists->clear(s);
    }
    lists->narrow(s, kept, numTokens - 1);
  }
}

void requireHeldRows(const RunLists& lists, const Batch& batch) {
  for (int s = 0; s < batch.numSequences; ++s) {
    const int end = lists.endOf(s);
    const int numTokens = batch.contextTokens[s];
    if (end <= numTokens) continue;
    throw Failure{"lists[" + std::to_string(s) + "]",
                  "runs that end at or before token " + std::to_string(numTokens) + ", the end of the sequence",
                  std::to_string(end)};
  }
}

void prefetchLikely(const Run& run, const Batch& batch, int layer, const RunLists& lists, Arena& arena) {
  for (int s = 0; s < batch.numSequences && arena.wantsLikely(); ++s) {
    if (run.selectors[static_cast<std::size_t>(s)].kind != SelectorChoice::native) continue;
    arena.prefetch(layer, batch.pages + batch.pageStarts[s], lists.chosen(s));
  }
}

void AttendRunsStep::execute(Context& context, Run& run) const {
  const Batch sequences = batch.of(run);
  if (!context.cancelled()) requireHeldRows(*lists, sequences);
  if (context.cancelled()) return;
  const RunRows rows = lists->rows(sequences.numSequences);
  const int rowsOfSequence = rows.perQueryHead ? numHeads : arena->shape.numKvHeads;
  const ListedRows listed = arena->listedRows(context, layer, sequences, rows, rowsOfSequence);
  prefetchLikely(run, sequences, layer, *lists, *arena);
  if (context.cancelled()) return;
  attendRuns(context, listed.view, layer, q, numHeads, scale, sequences, listed.rows, out, lse);
}

}  // namespace kvasir
