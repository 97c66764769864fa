#include "handed_rows.h"

namespace kvasir::gpu {
namespace {

bool same(Extent a, Extent b) { return a.kind == b.kind && (a.kind != Extent::fixed || a.count == b.count); }

}  // namespace

KvasirHalfRows halfRowsIn(Workspace& workspace, const Stream& stream, int rows, int cols) {
  const auto count = static_cast<std::size_t>(rows);
  const std::size_t halves = count * static_cast<std::size_t>(kvasirHalfCols(cols)) * sizeof(std::uint16_t);
  std::uint8_t* memory = workspace.reserve(stream, halves + count * sizeof(float), 0);
  return {reinterpret_cast<std::uint16_t*>(memory), reinterpret_cast<float*>(memory + halves)};
}

void HandedRowsOfProgram::reads(std::size_t buffer) {
  const auto at = current_.find(buffer);
  if (at != current_.end()) at->second->floats = true;
}

// Rows that are not written over are there to be read.
void HandedRowsOfProgram::writes(std::size_t buffer, std::size_t rowBytes, const Extent* rows) {
  const auto at = current_.find(buffer);
  if (at == current_.end()) return;
  HandedRows& own = *at->second;
  const bool covers = rows != nullptr && same(*rows, own.rows) && rowBytes >= static_cast<std::size_t>(own.cols) * sizeof(float);
  if (!covers) own.floats = true;
  current_.erase(at);
}

HandedRowsPtr HandedRowsOfProgram::offer(std::size_t buffer, int cols, Extent rows) {
  last_ = std::make_shared<HandedRows>(HandedRows{cols, rows});
  current_[buffer] = last_;
  return last_;
}

HandedRowsPtr HandedRowsOfProgram::take(std::size_t buffer, int cols, Extent rows) {
  const auto at = current_.find(buffer);
  const bool fits = at != current_.end() && at->second == last_ && last_->cols == cols && same(last_->rows, rows);
  if (!fits) return nullptr;
  last_->halves = true;
  return last_;
}

}  // namespace kvasir::gpu
