// A step that is one launch, its arguments made of what a run says.
#pragma once

#include <memory>
#include <utility>

#include "../arena.h"
#include "../failure.h"
#include "../program.h"
#include "device_program.h"

namespace kvasir::gpu {

template <class Args, class Make>
class LaunchStep final : public Step {
 public:
  using Op = int (*KvasirGpuV1::*)(KvasirStream*, const Args*);

  LaunchStep(const DeviceProgram& program, Op op, const char* name, Make make)
      : program_(program), op_(op), name_(name), make_(std::move(make)) {}

  void execute(Context&, Run& run) const override { program_.session().stream.launch(op_, name_, make_(run)); }

 private:
  const DeviceProgram& program_;
  Op op_;
  const char* name_;
  Make make_;
};

// make(run) gives the arguments.
template <class Args, class Make>
std::unique_ptr<Step> launchStep(const DeviceProgram& program, int (*KvasirGpuV1::*op)(KvasirStream*, const Args*),
                                 const char* name, Make make) {
  return std::make_unique<LaunchStep<Args, Make>>(program, op, name, std::move(make));
}

inline RowCount rowsOf(Extent extent) { return {RowCount::extent, extent, -1}; }

// Throws for an arena in host memory.
KvasirKvView deviceViewOf(const Arena& arena);

// Throws unless attention takes rows of this length.
void requireHeadDim(const KvasirKvView& view);

// Throws unless `value` is a multiple of `of`, as rows that a device reads 16 bytes at a time are.
void requireMultiple(const char* parameter, int value, int of);

}  // namespace kvasir::gpu
