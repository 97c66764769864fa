#include "program.h"

#include <algorithm>
#include <string>

#include "failure.h"

namespace kvasir {

int Program::addIndices(const std::int32_t* data, std::size_t length, Extent extent, int extra) {
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    const IndexSource& known = sources_[i];
    const bool same = known.data == data && known.extent.kind == extent.kind && known.extent.count == extent.count;
    if (same && known.extra == extra && known.pageStarts < 0) return static_cast<int>(i);
  }
  sources_.push_back({data, length, extent, extra, -1});
  return static_cast<int>(sources_.size()) - 1;
}

int Program::addPages(const std::int32_t* data, std::size_t length, int pageStarts) {
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    if (sources_[i].data == data && sources_[i].pageStarts == pageStarts) return static_cast<int>(i);
  }
  sources_.push_back({data, length, {Extent::sequences}, 0, pageStarts});
  return static_cast<int>(sources_.size()) - 1;
}

void Program::limit(Extent extent, std::size_t rows) {
  if (extent.kind == Extent::fixed) {
    if (static_cast<std::size_t>(extent.count) > rows) throw Failure{"ops", "buffers that hold their rows", "a short one"};
  } else if (rows < limits_[extent.kind]) {
    limits_[extent.kind] = rows;
  }
}

void Program::keep(std::shared_ptr<void> memory) {
  if (memory != nullptr && std::find(kept_.begin(), kept_.end(), memory) == kept_.end()) kept_.push_back(std::move(memory));
}

Run Program::prepare(const RunCounts& counts, std::vector<SelectorChoice> selectors,
                     std::vector<const KeptRows*> kept) const {
  for (const Extent::Kind kind : {Extent::tokens, Extent::outputs, Extent::sequences}) {
    const int rows = counts.of({kind});
    if (rows >= 0 && static_cast<std::size_t>(rows) <= limits_[kind]) continue;
    throw Failure{"run", "counts that fit the buffers", std::to_string(rows)};
  }
  Run run;
  run.counts = counts;
  run.selectors = std::move(selectors);
  if (run.selectors.size() != static_cast<std::size_t>(counts.sequences)) {
    throw Failure{"selectors", "one for each sequence", std::to_string(run.selectors.size())};
  }
  run.kept = std::move(kept);
  if (run.kept.size() != static_cast<std::size_t>(counts.sequences)) {
    throw Failure{"kept", "one for each sequence", std::to_string(run.kept.size())};
  }
  for (const IndexSource& source : sources_) {
    const std::size_t count = source.pageStarts < 0
                                  ? static_cast<std::size_t>(counts.of(source.extent)) + source.extra
                                  : static_cast<std::size_t>(sources_[source.pageStarts].data[counts.sequences]);
    if (count > source.length) throw Failure{"ops", "index arrays that hold their rows", "a short one"};
    const std::size_t start = run.copies_.size();
    std::size_t room = 4;
    while (room < count) room *= 2;
    run.starts_.push_back(start);
    run.copies_.resize(start + room);
    std::copy(source.data, source.data + count, run.copies_.begin() + static_cast<std::ptrdiff_t>(start));
  }
  return run;
}

void Program::execute(Context& context, Run& run) const {
  for (const std::unique_ptr<Step>& step : steps_) {
    if (context.cancelled()) return;
    step->execute(context, run);
  }
}

}  // namespace kvasir
