// The table's functions over the CUDA runtime, which is linked in and looks for the driver at its first call.
#include "../machine.h"

#include <cstdio>
#include <string>
#include <vector>

#include "../failure.h"
#include "handles.cuh"

struct KvasirEvent {
  KvasirDevice* device;
  cudaEvent_t handle;
};

struct KvasirGraph {
  cudaGraph_t graph;
  cudaGraphExec_t executable;
};

namespace kvasir::gpu {

int check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return KVASIR_GPU_OK;
  cudaGetLastError();  // or a later call of this thread would report it, "not ready" too
  if (error == cudaErrorNotReady) return KVASIR_GPU_NOT_READY;
  const std::string text = std::string(what) + ": " + cudaGetErrorString(error) + " (" + std::to_string(static_cast<int>(error)) + ")";
  switch (error) {
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorSystemNotReady:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorStubLibrary:
      return fail(KVASIR_GPU_ABSENT, text);
    case cudaErrorMemoryAllocation:
      return fail(KVASIR_GPU_NO_MEMORY, text);
    case cudaErrorInvalidValue:
    case cudaErrorInvalidDevice:
      return fail(KVASIR_GPU_INVALID, text);
    default:
      return fail(KVASIR_GPU_FAILED, text);
  }
}

int load(KvasirDevice* device, const void* function, unsigned sharedBytes) {
  const std::lock_guard<std::mutex> lock(device->loading);
  if (device->loaded.count(function) != 0) return KVASIR_GPU_OK;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  int status = check(cudaThreadExchangeStreamCaptureMode(&mode), "loading a kernel");
  if (status != KVASIR_GPU_OK) return status;
  cudaFuncAttributes attributes;
  status = check(cudaFuncGetAttributes(&attributes, function), "loading a kernel");
  if (status == KVASIR_GPU_OK && sharedBytes > 48 * 1024) {
    status = check(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(sharedBytes)),
                   "shared memory of a kernel");
  }
  const int restored = check(cudaThreadExchangeStreamCaptureMode(&mode), "loading a kernel");
  if (status == KVASIR_GPU_OK) device->loaded.insert(function);
  return status != KVASIR_GPU_OK ? status : restored;
}

namespace {

int use(const KvasirDevice* device) { return check(cudaSetDevice(device->index), "cudaSetDevice"); }

std::string release(int version) { return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10); }

int deviceCount(int32_t* count) {
  int found = 0, driver = 0;
  const cudaError_t error = cudaGetDeviceCount(&found);
  const int status = check(error, "no device");
  *count = status == KVASIR_GPU_OK ? found : 0;
  if (error == cudaErrorInsufficientDriver && cudaDriverGetVersion(&driver) == cudaSuccess) {
    return fail(KVASIR_GPU_ABSENT, driver == 0 ? "no device: no driver is installed"
                                               : "no device: the driver is of CUDA " + release(driver) + ", " +
                                                     release(CUDART_VERSION) + " is needed");
  }
  if (status == KVASIR_GPU_OK && found == 0) return fail(KVASIR_GPU_ABSENT, "no device: the driver lists none");
  return status;
}

int deviceInfo(int32_t index, KvasirDeviceInfo* info) {
  cudaDeviceProp properties;
  const int status = check(cudaGetDeviceProperties(&properties, index), "deviceInfo");
  if (status != KVASIR_GPU_OK) return status;
  *info = KvasirDeviceInfo{};
  std::snprintf(info->name, sizeof(info->name), "%.127s", properties.name);
  info->major = properties.major;
  info->minor = properties.minor;
  info->multiprocessors = properties.multiProcessorCount;
  info->sharedBytesPerBlock = static_cast<int32_t>(properties.sharedMemPerBlockOptin);
  info->memoryBytes = properties.totalGlobalMem;
  return KVASIR_GPU_OK;
}

int openDevice(int32_t index, KvasirDevice** device) {
  KvasirDeviceInfo info;
  const int status = deviceInfo(index, &info);
  if (status != KVASIR_GPU_OK) return status;
  if (info.major < 8) {
    return fail(KVASIR_GPU_UNSUPPORTED, std::string(info.name) + " has compute capability " + std::to_string(info.major) + "." +
                                            std::to_string(info.minor) + ", 8.0 or newer is needed");
  }
  *device = new KvasirDevice{index, info.multiprocessors, {}, {}};
  return KVASIR_GPU_OK;
}

int closeDevice(KvasirDevice* device) {
  delete device;
  return KVASIR_GPU_OK;
}

int allocate(KvasirDevice* device, std::size_t bytes, void** address) {
  const int status = use(device);
  // An address of its own also for nothing.
  return status != KVASIR_GPU_OK ? status : check(cudaMalloc(address, bytes == 0 ? 1 : bytes), "allocate");
}

int release(KvasirDevice* device, void* address) {
  const int status = use(device);
  return status != KVASIR_GPU_OK ? status : check(cudaFree(address), "release");
}

int freeMemory(KvasirDevice* device, uint64_t* bytes) {
  std::size_t available = 0, total = 0;
  int status = use(device);
  if (status == KVASIR_GPU_OK) status = check(cudaMemGetInfo(&available, &total), "freeMemory");
  *bytes = available;
  return status;
}

int allocateHost(KvasirDevice* device, std::size_t bytes, void** host, void** mapped) {
  int status = use(device);
  if (status == KVASIR_GPU_OK) {
    status = check(cudaHostAlloc(host, bytes == 0 ? 1 : bytes, cudaHostAllocMapped | cudaHostAllocPortable), "allocateHost");
  }
  return status != KVASIR_GPU_OK ? status : check(cudaHostGetDevicePointer(mapped, *host, 0), "allocateHost");
}

int releaseHost(KvasirDevice* device, void* host) {
  const int status = use(device);
  return status != KVASIR_GPU_OK ? status : check(cudaFreeHost(host), "releaseHost");
}

int createStream(KvasirDevice* device, int32_t urgent, KvasirStream** stream) {
  int status = use(device), least = 0, greatest = 0;
  if (status == KVASIR_GPU_OK) status = check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "createStream");
  cudaStream_t handle = nullptr;
  if (status == KVASIR_GPU_OK) {
    status = check(cudaStreamCreateWithPriority(&handle, cudaStreamNonBlocking, urgent != 0 ? greatest : least), "createStream");
  }
  if (status == KVASIR_GPU_OK) *stream = new KvasirStream{device, handle};
  return status;
}

int destroyStream(KvasirStream* stream) {
  const int waited = check(cudaStreamSynchronize(stream->handle), "destroyStream");
  const int status = check(cudaStreamDestroy(stream->handle), "destroyStream");
  delete stream;
  return waited != KVASIR_GPU_OK ? waited : status;
}

// Calls on a stream come from any thread, which has its own current device.
int use(const KvasirStream* stream) { return use(stream->device); }

int synchronizeStream(KvasirStream* stream) { return check(cudaStreamSynchronize(stream->handle), "synchronizeStream"); }
int queryStream(KvasirStream* stream) { return check(cudaStreamQuery(stream->handle), "queryStream"); }

int createEvent(KvasirDevice* device, KvasirEvent** event) {
  int status = use(device);
  cudaEvent_t handle = nullptr;
  if (status == KVASIR_GPU_OK) status = check(cudaEventCreate(&handle), "createEvent");
  if (status == KVASIR_GPU_OK) *event = new KvasirEvent{device, handle};
  return status;
}

int destroyEvent(KvasirEvent* event) {
  const int status = check(cudaEventDestroy(event->handle), "destroyEvent");
  delete event;
  return status;
}

// As in the emulation: events and copy batches are no part of a graph.
int refuseCapture(KvasirStream* stream, const char* what) {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  int status = use(stream);
  if (status == KVASIR_GPU_OK) status = check(cudaStreamIsCapturing(stream->handle, &capture), what);
  if (status != KVASIR_GPU_OK || capture == cudaStreamCaptureStatusNone) return status;
  return fail(KVASIR_GPU_UNSUPPORTED, std::string(what) + " on a stream that is being captured");
}

int recordEvent(KvasirStream* stream, KvasirEvent* event) {
  const int status = refuseCapture(stream, "recordEvent");
  return status != KVASIR_GPU_OK ? status : check(cudaEventRecord(event->handle, stream->handle), "recordEvent");
}

int waitEvent(KvasirStream* stream, KvasirEvent* event) {
  const int status = refuseCapture(stream, "waitEvent");
  return status != KVASIR_GPU_OK ? status : check(cudaStreamWaitEvent(stream->handle, event->handle), "waitEvent");
}

int synchronizeEvent(KvasirEvent* event) { return check(cudaEventSynchronize(event->handle), "synchronizeEvent"); }
int queryEvent(KvasirEvent* event) { return check(cudaEventQuery(event->handle), "queryEvent"); }
int elapsedMs(KvasirEvent* from, KvasirEvent* to, float* ms) {
  return check(cudaEventElapsedTime(ms, from->handle, to->handle), "elapsedMs");
}

int copy(KvasirStream* stream, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return KVASIR_GPU_OK;
  const int status = use(stream);
  if (status != KVASIR_GPU_OK) return status;
  return check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream->handle), "copy");
}

int copy2d(KvasirStream* stream, void* to, std::size_t toStride, const void* from, std::size_t fromStride,
           std::size_t rowBytes, std::size_t rows) {
  if (rowBytes > toStride || rowBytes > fromStride) return fail(KVASIR_GPU_INVALID, "copy2d: rows are longer than a stride");
  if (rowBytes == 0 || rows == 0) return KVASIR_GPU_OK;
  const int status = use(stream);
  if (status != KVASIR_GPU_OK) return status;
  return check(cudaMemcpy2DAsync(to, toStride, from, fromStride, rowBytes, rows, cudaMemcpyDefault, stream->handle), "copy2d");
}

int copyBatch(KvasirStream* stream, const KvasirCopy* copies, std::size_t count) {
  int status = refuseCapture(stream, "copyBatch");
  if (status != KVASIR_GPU_OK) return status;
  std::vector<void*> to;
#if CUDART_VERSION >= 13000
  std::vector<const void*> from;
#else
  std::vector<void*> from;
#endif
  std::vector<std::size_t> bytes;
  for (std::size_t i = 0; i < count; ++i) {
    if (copies[i].bytes == 0) continue;
    to.push_back(copies[i].to);
    from.push_back(const_cast<void*>(copies[i].from));
    bytes.push_back(copies[i].bytes);
  }
  if (bytes.empty()) return KVASIR_GPU_OK;
#if CUDART_VERSION >= 12080
  // In the order of the stream: sources on the device may be what a kernel before is still writing.
  cudaMemcpyAttributes attributes{};
  attributes.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
  std::size_t first = 0;
#if CUDART_VERSION >= 13000
  const cudaError_t error =
      cudaMemcpyBatchAsync(to.data(), from.data(), bytes.data(), bytes.size(), &attributes, &first, 1, stream->handle);
#else
  std::size_t failed = 0;
  const cudaError_t error =
      cudaMemcpyBatchAsync(to.data(), from.data(), bytes.data(), bytes.size(), &attributes, &first, 1, &failed, stream->handle);
#endif
  if (error != cudaErrorNotSupported && error != cudaErrorCallRequiresNewerDriver) return check(error, "copyBatch");
  // Some virtual devices have no batches.
  cudaGetLastError();
#endif
  for (std::size_t i = 0; i < bytes.size() && status == KVASIR_GPU_OK; ++i) status = copy(stream, to[i], from[i], bytes[i]);
  return status;
}

int fill(KvasirStream* stream, void* to, int32_t byte, std::size_t bytes) {
  if (bytes == 0) return KVASIR_GPU_OK;
  const int status = use(stream);
  if (status != KVASIR_GPU_OK) return status;
  return check(cudaMemsetAsync(to, byte, bytes, stream->handle), "fill");
}

int beginCapture(KvasirStream* stream) {
  const int status = use(stream);
  if (status != KVASIR_GPU_OK) return status;
  // Relaxed: other threads may allocate and copy meanwhile, and another thread may end it.
  return check(cudaStreamBeginCapture(stream->handle, cudaStreamCaptureModeRelaxed), "beginCapture");
}

int endCapture(KvasirStream* stream, KvasirGraph** graph) {
  cudaGraph_t captured = nullptr;
  int status = check(cudaStreamEndCapture(stream->handle, &captured), "endCapture");
  if (status != KVASIR_GPU_OK) return status;
  cudaGraphExec_t executable = nullptr;
  status = check(cudaGraphInstantiate(&executable, captured, 0), "endCapture");
  if (status != KVASIR_GPU_OK) {
    cudaGraphDestroy(captured);
    return status;
  }
  *graph = new KvasirGraph{captured, executable};
  return KVASIR_GPU_OK;
}

int launchGraph(KvasirGraph* graph, KvasirStream* stream) {
  const int status = refuseCapture(stream, "launchGraph");
  return status != KVASIR_GPU_OK ? status : check(cudaGraphLaunch(graph->executable, stream->handle), "launchGraph");
}

int destroyGraph(KvasirGraph* graph) {
  const int status = check(cudaGraphExecDestroy(graph->executable), "destroyGraph");
  const int second = check(cudaGraphDestroy(graph->graph), "destroyGraph");
  delete graph;
  return status != KVASIR_GPU_OK ? status : second;
}

}  // namespace

void fillMachine(KvasirGpuV1& table) {
  table.kind = "cuda";
  table.deviceCount = deviceCount;
  table.deviceInfo = deviceInfo;
  table.openDevice = openDevice;
  table.closeDevice = closeDevice;
  table.allocate = allocate;
  table.release = release;
  table.freeMemory = freeMemory;
  table.allocateHost = allocateHost;
  table.releaseHost = releaseHost;
  table.createStream = createStream;
  table.destroyStream = destroyStream;
  table.synchronizeStream = synchronizeStream;
  table.queryStream = queryStream;
  table.createEvent = createEvent;
  table.destroyEvent = destroyEvent;
  table.recordEvent = recordEvent;
  table.waitEvent = waitEvent;
  table.synchronizeEvent = synchronizeEvent;
  table.queryEvent = queryEvent;
  table.elapsedMs = elapsedMs;
  table.copy = copy;
  table.copy2d = copy2d;
  table.copyBatch = copyBatch;
  table.fill = fill;
  table.beginCapture = beginCapture;
  table.endCapture = endCapture;
  table.launchGraph = launchGraph;
  table.destroyGraph = destroyGraph;
}

}  // namespace kvasir::gpu
