// What a step finds: one row a case, written at once, as a line of JSON and as a line of text.
#pragma once

#include <cstdio>
#include <map>
#include <string>

#include "measure.h"

namespace kvasir::gpu::bench {

// A ratio to the roof that a release needs, and the one that is hoped for; with `latency` microseconds, not above.
struct Target {
  double gate = 0;
  double goal = 0;
  bool latency = false;
};

class Rows {
 public:
  // Appends to `path`; text goes to stdout. Without `judged` no row is held against its target: the numbers mean nothing.
  Rows(std::string step, const std::string& path, bool judged);
  ~Rows();
  Rows(const Rows&) = delete;

  // A fact of the machine or of the run.
  void fact(const std::string& name, const std::string& value);
  void fact(const std::string& name, double value);
  // A ceiling that stands alone: rate in unit ("GB/s", "TFLOP/s", "us").
  void ceiling(const std::string& name, double value, const std::string& unit);
  // A measured case. `roof` names what `ratio` is to; target may be null.
  void timing(const std::string& family, const std::string& shape, const Timing& timing, const std::string& unit,
              const std::string& roof, const Target* target = nullptr);
  // A number that is no ratio to a roof, such as a step's share of another; target may be null.
  void value(const std::string& family, const std::string& shape, double value, const std::string& unit, const Target* target = nullptr);
  // A case that did not run, and why.
  void notRun(const std::string& family, const std::string& shape, const std::string& why);
  // A case whose answer is wrong; the program then ends with 1.
  void wrong(const std::string& family, const std::string& shape, const std::string& why);

  bool anyWrong() const { return wrong_; }

 private:
  void write(const std::string& json, const std::string& text);

  std::string step_;
  std::FILE* file_ = nullptr;
  bool judged_;
  bool wrong_ = false;
};

}  // namespace kvasir::gpu::bench
