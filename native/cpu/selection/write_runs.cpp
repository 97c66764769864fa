#include "choice.h"
#include "kept.h"
#include "runs.h"

namespace kvasir::selection {

void writeRuns(const SelectInput& given, const TokenChoice& choice, ChosenRuns& out, SelectCounts& counts) {
  const SelectInput input = withCurrentRow(given);
  const int numKvHeads = input.kv.numKvHeads;
  out.rowStarts.assign(1, 0);
  out.runs.clear();
  for (int kvHead = 0; kvHead < numKvHeads; ++kvHead) {
    const std::size_t start = out.runs.size();
    const int first = choice.everything ? input.numTokens : choice.first;
    const std::int32_t* tokens = choice.tokens.data() + choice.starts[static_cast<std::size_t>(kvHead)];
    const int count = choice.starts[static_cast<std::size_t>(kvHead) + 1] - choice.starts[static_cast<std::size_t>(kvHead)];
    const int visible = first + input.numTokens - std::min(choice.end, input.numTokens);
    RunWriter writer(out.runs, static_cast<std::size_t>(count + (input.kept.keepsAll() ? visible / kPageTokens + 1 + 4 : visible)));
    const auto span = [&](int from, int to) { writer.span(from, to); };
    forEachKeptSpan(input.kept, kvHead, 0, first, span);
    if (input.kept.keepsAll()) {
      for (int i = 0; i < count; ++i) writer.token(tokens[i]);
    } else {
      for (int i = 0; i < count; ++i) {
        if (isKept(input.kept, kvHead, tokens[i])) writer.token(tokens[i]);
      }
    }
    if (!choice.everything) forEachKeptSpan(input.kept, kvHead, choice.end, input.numTokens, span);
    writer.finish();
    for (std::size_t r = start; r < out.runs.size(); ++r) counts.attended += out.runs[r].len;
    out.rowStarts.push_back(static_cast<std::int32_t>(out.runs.size()));
  }
  counts.calls += 1;
}

}  // namespace kvasir::selection
