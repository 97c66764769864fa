// Rows that an op gives in float16 too, because linear ops in fast mode read them next: they need not prepare them.
#pragma once

#include <cstddef>
#include <map>
#include <memory>

#include "../program.h"
#include "session.h"

namespace kvasir::gpu {

// Memory of `workspace` for such rows, as linear's fast mode takes them.
KvasirHalfRows halfRowsIn(Workspace& workspace, const Stream& stream, int rows, int cols);

// What the ops of a program turned out to want of rows that one of them writes. Known once all ops have told.
struct HandedRows {
  int cols;
  Extent rows;
  bool halves = false;  // some linear op takes them
  bool floats = false;  // something else reads them, or may

  // Where they lie in this run, for who writes and for who reads them.
  KvasirHalfRows in(Session& session, const Run& run) const {
    return halfRowsIn(session.handedWorkspace, session.stream, run.counts.of(rows), cols);
  }
};

using HandedRowsPtr = std::shared_ptr<HandedRows>;

// Follows who reads what, op by op. Rows lie in one piece of memory, so only those offered last can be taken.
class HandedRowsOfProgram {
 public:
  // `buffer` is read as floats.
  void reads(std::size_t buffer);
  // `buffer` is written from its start on, in rows of `rowBytes`; null: of a count that no extent tells.
  void writes(std::size_t buffer, std::size_t rowBytes, const Extent* rows);
  // An op has written `buffer` and could give it in halves.
  HandedRowsPtr offer(std::size_t buffer, int cols, Extent rows);
  // Null: nobody has offered exactly these rows, or they have been written over since.
  HandedRowsPtr take(std::size_t buffer, int cols, Extent rows);
  // The program has ended; isRead(buffer) says whether what it leaves there is looked at.
  template <class IsRead>
  void finish(const IsRead& isRead) {
    for (const auto& [buffer, own] : current_) own->floats = own->floats || isRead(buffer);
    current_.clear();
  }

 private:
  std::map<std::size_t, HandedRowsPtr> current_;  // what each buffer holds
  HandedRowsPtr last_;
};

}  // namespace kvasir::gpu
