// Rows of a donor in host memory on their way to a cache, layer by layer, beside the layers that are computed or before them.
#pragma once

#include <vector>

#include "model.h"

namespace kvasir::gpu::bench {

// A queue beside the one that is timed.
class Stream {
 public:
  explicit Stream(const Gpu& gpu);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  KvasirStream* handle() const { return handle_; }
  // What follows on `stream` comes after what is on this one now, and the other way round.
  void leadTo(KvasirStream* stream) const { order(handle_, stream); }
  void follow(KvasirStream* stream) const { order(stream, handle_); }

 private:
  void order(KvasirStream* before, KvasirStream* after) const;

  const Gpu& gpu_;
  KvasirStream* handle_ = nullptr;
  KvasirEvent* event_ = nullptr;
};

// All rows of the prompt, keys turned by one angle a pair, one layer at a time: pinned memory -> device -> the cache's pages.
class Lending {
 public:
  // `donor` is one layer in pinned memory, which stands for each of them.
  Lending(const Gpu& gpu, const ModelConfig& config, const Cache& donor, const Cache& to);

  // Before a prompt is computed: the first layer. beside: copies and turns have queues of their own; else all is on `stream`.
  void begin(KvasirStream* stream, bool beside) const;
  // Once `layer` is under way: the next layer's rows are there for what follows on `stream`, and the copy of the one after begins.
  void next(KvasirStream* stream, int layer, bool beside) const;
  // The copies alone.
  void copyAll(KvasirStream* stream) const;
  double bytes() const;  // over the link

 private:
  void copy(KvasirStream* stream, int layer) const;
  void place(KvasirStream* stream, int layer) const;

  const Gpu& gpu_;
  const ModelConfig& config_;
  const Cache& donor_;
  const Cache& to_;
  std::vector<Cache> staged_;  // two layers that take turns
  Stream copies_, places_;
  Memory slots_, turns_, cos_, sin_;
};

}  // namespace kvasir::gpu::bench
