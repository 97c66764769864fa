// What one Kernels object of JavaScript has behind it: its part of the executor, and the way back to its event loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "../runtime/executor.h"
#include "../runtime/gpu/session.h"
#include "napi_setup.h"

namespace kvasir::node {

// All of it on the JavaScript thread of one environment.
class Runtime : public std::enable_shared_from_this<Runtime> {
 public:
  // `settle(job, failure | undefined)` is called once a job has ended.
  // Weights, arenas and programs live in the memory of `gpu`; null: in the host's.
  static std::shared_ptr<Runtime> open(Napi::Env env, Isa isa, int workers, gpu::SessionPtr gpu, Napi::Function settle);
  ~Runtime() { close(); }

  Isa isa() const { return isa_; }
  const gpu::SessionPtr& gpu() const { return gpu_; }

  // `execute` runs on the executor's thread; `keep` lives until the job has settled.
  void enqueue(std::uint32_t number, std::function<void(Context&)> execute);

  // The same for work that goes on beside the jobs after it: once its turn has come there is `begin`, and then `execute` on
  // another thread, one such job after another. Only with a GPU.
  void enqueueBeside(std::uint32_t number, std::function<void()> begin, std::function<void(Context&)> execute);

  // True if the job was still queued and is gone; else it is told to stop, and settles.
  bool cancel(std::uint32_t number);

  // Drops queued jobs, waits for the running one, lets go of the threads. Nothing settles any more.
  // The end of the environment does it too.
  void close();

 private:
  struct NodeJob;
  struct HandOver;

  Runtime(napi_env env, Isa isa, int workers, gpu::SessionPtr gpu)
      : env_(env), isa_(isa), workers_(workers), gpu_(std::move(gpu)) {}
  static void settle(napi_env env, napi_value callback, void* context, void* data);
  std::shared_ptr<NodeJob> jobOf(std::uint32_t number, std::function<void(Context&)> execute);
  void forget(std::uint32_t number);

  napi_env env_;
  Isa isa_;
  int workers_;
  gpu::SessionPtr gpu_;
  napi_threadsafe_function loop_ = nullptr;
  std::shared_ptr<Executor> executor_;
  std::shared_ptr<Executor> beside_;  // null without a GPU
  std::unordered_map<std::uint32_t, std::shared_ptr<NodeJob>> pending_;
};

// Called once an environment, before all else.
void prepareEnvironment(Napi::Env env);

// From here on native failures are thrown as what `makeError(failure)` returns.
void setErrorMaker(Napi::Env env, Napi::Function makeError);

// The plain object { parameter, expected, got, kind }.
Napi::Object describe(Napi::Env env, const Failure& failure);
Napi::Error errorOf(Napi::Env env, const Failure& failure);

}  // namespace kvasir::node
