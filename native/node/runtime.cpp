#include "runtime.h"

namespace kvasir::node {
namespace {

// Instance data of one environment.
struct Environment {
  Napi::FunctionReference makeError;
};

const char* nameOf(Failure::Kind kind) {
  switch (kind) {
    case Failure::Kind::tier: return "tier";
    case Failure::Kind::backend: return "backend";
    case Failure::Kind::kernel: break;
  }
  return "kernel";
}

void closeAtEnd(void* runtime) { static_cast<Runtime*>(runtime)->close(); }

}  // namespace

struct Runtime::NodeJob final : Job {
  std::uint32_t number;
  std::weak_ptr<Runtime> runtime;  // locked on the JavaScript thread only
  napi_threadsafe_function loop;
  std::function<void(Context&)> body;
  std::weak_ptr<NodeJob> self;
  std::weak_ptr<Job> place;  // what is queued in its stead, if anything is

  void execute(Context& context) override { body(context); }

  void ended() override {
    auto* message = new std::shared_ptr<NodeJob>(self.lock());
    if (napi_call_threadsafe_function(loop, message, napi_tsfn_nonblocking) != napi_ok) delete message;
  }
};

// Holds the place of a job among the others, and passes it on when its turn has come.
struct Runtime::HandOver final : Job {
  std::shared_ptr<NodeJob> job;
  Executor* to;
  std::function<void()> begin;

  void execute(Context&) override {
    begin();
    to->enqueue(job);
  }

  void ended() override {
    if (!failure) return;
    job->failure = failure;
    job->ended();
  }
};

void prepareEnvironment(Napi::Env env) { env.SetInstanceData<Environment>(new Environment); }

void setErrorMaker(Napi::Env env, Napi::Function makeError) {
  env.GetInstanceData<Environment>()->makeError = Napi::Persistent(makeError);
}

Napi::Object describe(Napi::Env env, const Failure& failure) {
  Napi::Object description = Napi::Object::New(env);
  description.Set("parameter", failure.parameter);
  description.Set("expected", failure.expected);
  description.Set("got", failure.got);
  description.Set("kind", nameOf(failure.kind));
  return description;
}

Napi::Error errorOf(Napi::Env env, const Failure& failure) {
  const Napi::FunctionReference& makeError = env.GetInstanceData<Environment>()->makeError;
  if (makeError.IsEmpty()) return Napi::Error::New(env, failure.parameter + ": expected " + failure.expected);
  return Napi::Error(env, makeError.Call({describe(env, failure)}));
}

std::shared_ptr<Runtime> Runtime::open(Napi::Env env, Isa isa, int workers, gpu::SessionPtr gpu, Napi::Function settle) {
  std::shared_ptr<Runtime> runtime(new Runtime(env, isa, workers, std::move(gpu)));
  const napi_value name = Napi::String::New(env, "kvasir");
  const napi_status status = napi_create_threadsafe_function(env, settle, nullptr, name, 0, 1, nullptr, nullptr, nullptr,
                                                             Runtime::settle, &runtime->loop_);
  if (status != napi_ok) throw Napi::Error::New(env);
  napi_unref_threadsafe_function(env, runtime->loop_);
  runtime->executor_ = Executor::shared(workers);
  if (runtime->gpu_ != nullptr) runtime->beside_ = std::make_shared<Executor>(workers);
  // Hooks run last first: this one before the end of the thread-safe function, which jobs call.
  napi_add_env_cleanup_hook(env, closeAtEnd, runtime.get());
  return runtime;
}

std::shared_ptr<Runtime::NodeJob> Runtime::jobOf(std::uint32_t number, std::function<void(Context&)> execute) {
  if (executor_ == nullptr) throw Napi::Error::New(env_, "the runtime is closed");
  auto job = std::make_shared<NodeJob>();
  job->isa = isa_;
  job->workers = workers_;
  job->owner = this;
  job->number = number;
  job->runtime = weak_from_this();
  job->loop = loop_;
  job->body = std::move(execute);
  job->self = job;
  if (pending_.empty()) napi_ref_threadsafe_function(env_, loop_);
  pending_.emplace(number, job);
  return job;
}

void Runtime::enqueue(std::uint32_t number, std::function<void(Context&)> execute) {
  std::shared_ptr<NodeJob> job = jobOf(number, std::move(execute));
  executor_->enqueue(std::move(job));
}

void Runtime::enqueueBeside(std::uint32_t number, std::function<void()> begin, std::function<void(Context&)> execute) {
  auto handOver = std::make_shared<HandOver>();
  handOver->job = jobOf(number, std::move(execute));
  handOver->owner = this;
  handOver->to = beside_.get();
  handOver->begin = std::move(begin);
  handOver->job->place = handOver;
  executor_->enqueue(std::move(handOver));
}

bool Runtime::cancel(std::uint32_t number) {
  const auto at = pending_.find(number);
  if (at == pending_.end()) return false;
  const std::shared_ptr<Job> job = at->second, place = at->second->place.lock();
  job->cancelled = true;
  if (!executor_->cancel(place != nullptr ? place : job)) return false;
  forget(number);
  return true;
}

void Runtime::forget(std::uint32_t number) {
  pending_.erase(number);
  if (pending_.empty()) napi_unref_threadsafe_function(env_, loop_);
}

void Runtime::settle(napi_env env, napi_value callback, void*, void* data) {
  const std::unique_ptr<std::shared_ptr<NodeJob>> message(static_cast<std::shared_ptr<NodeJob>*>(data));
  if (env == nullptr) return;
  NodeJob& job = **message;
  const std::shared_ptr<Runtime> runtime = job.runtime.lock();
  if (runtime == nullptr || runtime->executor_ == nullptr) return;
  runtime->forget(job.number);

  napi_value undefined;
  napi_get_undefined(env, &undefined);
  napi_value arguments[2] = {nullptr, undefined};
  napi_create_uint32(env, job.number, &arguments[0]);
  if (job.failure) arguments[1] = describe(env, *job.failure);
  napi_call_function(env, undefined, callback, 2, arguments, nullptr);
}

void Runtime::close() {
  if (executor_ == nullptr) return;
  napi_remove_env_cleanup_hook(env_, closeAtEnd, this);
  // In this order: a job that runs may wait for one beside it.
  executor_->drain(this);
  if (beside_ != nullptr) beside_->drain(this);
  executor_.reset();
  beside_.reset();
  pending_.clear();
  napi_release_threadsafe_function(loop_, napi_tsfn_abort);
}

}  // namespace kvasir::node
