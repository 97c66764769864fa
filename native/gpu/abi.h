/* What a GPU library of Kvasir exports: one symbol, kvasir_gpu_v1, that gives a table of functions. Plain C.
 * libkvasir_cuda.so and libkvasir_emulated.so export the same table; the latter's device is this machine's memory.
 * Every function returns a KVASIR_GPU_* status; lastError() then says why, for the thread that called. */
#ifndef KVASIR_GPU_ABI_H
#define KVASIR_GPU_ABI_H

#include <stddef.h>
#include <stdint.h>

#include "args/status.h"
#include "args/views.h"
#include "args/weights.h"

#include "args/attend_prefill.h"
#include "args/attend_runs.h"
#include "args/attend_runs_i8.h"
#include "args/attention_mass.h"
#include "args/attention_recovery.h"
#include "args/attention_weights.h"
#include "args/bring_rows.h"
#include "args/compare_kv.h"
#include "args/context_probe.h"
#include "args/copy_pages.h"
#include "args/copy_pieces.h"
#include "args/cut_rows.h"
#include "args/embed_rows.h"
#include "args/encode_segments.h"
#include "args/forget_pages.h"
#include "args/gather_rows.h"
#include "args/hash_rows.h"
#include "args/linear.h"
#include "args/merge_states.h"
#include "args/nearest_codes.h"
#include "args/nearest_rows.h"
#include "args/prepare_rows.h"
#include "args/quantise_kv.h"
#include "args/rank_rows.h"
#include "args/read_kv.h"
#include "args/rms_norm.h"
#include "args/roof_probe.h"
#include "args/rope_rows.h"
#include "args/scatter_rows.h"
#include "args/select_runs.h"
#include "args/silu_gate.h"
#include "args/turn_rows.h"
#include "args/write_kv.h"
#include "args/write_tiered.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KVASIR_GPU_VERSION 1u

typedef struct KvasirDeviceInfo {
  char name[128];
  int32_t major; /* compute capability */
  int32_t minor;
  int32_t multiprocessors;
  int32_t sharedBytesPerBlock;
  uint64_t memoryBytes;
} KvasirDeviceInfo;

typedef struct KvasirCopy {
  void* to;
  const void* from;
  size_t bytes;
} KvasirCopy;

typedef struct KvasirGpuV1 {
  uint32_t size;    /* sizeof(KvasirGpuV1) */
  uint32_t version; /* KVASIR_GPU_VERSION */
  uint64_t layout;  /* kvasirGpuLayout() of both sides must agree: sizes of all argument structs */
  const char* kind; /* "cuda" or "emulated" */

  /* Text of the calling thread's last status other than OK; "" before there was one. */
  const char* (*lastError)(void);

  int (*deviceCount)(int32_t* count);
  /* Takes nothing of the device: it may be another's. */
  int (*deviceInfo)(int32_t index, KvasirDeviceInfo* info);
  int (*openDevice)(int32_t index, KvasirDevice** device);
  /* Streams, events, graphs and memory of a device are given back before it is closed. */
  int (*closeDevice)(KvasirDevice* device);

  /* Device memory, aligned to 256 bytes, not cleared. 0 bytes give an address that nothing may read. */
  int (*allocate)(KvasirDevice* device, size_t bytes, void** address);
  int (*release)(KvasirDevice* device, void* address);
  int (*freeMemory)(KvasirDevice* device, uint64_t* bytes);
  /* Pinned host memory that kernels may read and write as well, at `mapped`. */
  int (*allocateHost)(KvasirDevice* device, size_t bytes, void** host, void** mapped);
  int (*releaseHost)(KvasirDevice* device, void* host);

  /* urgent: goes before other streams where the device can. */
  int (*createStream)(KvasirDevice* device, int32_t urgent, KvasirStream** stream);
  int (*destroyStream)(KvasirStream* stream);
  int (*synchronizeStream)(KvasirStream* stream);
  int (*queryStream)(KvasirStream* stream); /* OK or NOT_READY */

  int (*createEvent)(KvasirDevice* device, KvasirEvent** event);
  int (*destroyEvent)(KvasirEvent* event);
  int (*recordEvent)(KvasirStream* stream, KvasirEvent* event);
  int (*waitEvent)(KvasirStream* stream, KvasirEvent* event); /* what follows on the stream waits for it */
  int (*synchronizeEvent)(KvasirEvent* event);
  int (*queryEvent)(KvasirEvent* event); /* OK or NOT_READY */
  int (*elapsedMs)(KvasirEvent* from, KvasirEvent* to, float* ms);

  /* In order on a stream, between any host and device memory. Host memory stays untouched until the stream is past. */
  int (*copy)(KvasirStream* stream, void* to, const void* from, size_t bytes);
  int (*copy2d)(KvasirStream* stream, void* to, size_t toStride, const void* from, size_t fromStride, size_t rowBytes,
                size_t rows);
  /* Pieces that do not overlap, by the copy engines; `copies` may go after the call. Worth it from about 32 KiB a piece
   * (below that: op copyPieces). Not while capturing. */
  int (*copyBatch)(KvasirStream* stream, const KvasirCopy* copies, size_t count);
  int (*fill)(KvasirStream* stream, void* to, int32_t byte, size_t bytes);

  /* What a stream is given between the two is kept, not run; a graph replays it with the same arguments. */
  int (*beginCapture)(KvasirStream* stream);
  int (*endCapture)(KvasirStream* stream, KvasirGraph** graph);
  int (*launchGraph)(KvasirGraph* graph, KvasirStream* stream);
  int (*destroyGraph)(KvasirGraph* graph);

  /* The ops: args/NAME.h says what each does. The arguments are read before the call returns, what they point to later. */
#define KVASIR_GPU_OP(name, Args) int (*name)(KvasirStream * stream, const Args* args);
#include "ops.inc"
#undef KVASIR_GPU_OP
} KvasirGpuV1;

/* FNV-1a over the sizes of all argument structs: a table of the same size may still disagree about them. */
static inline uint64_t kvasirGpuLayout(void) {
  uint64_t hash = 14695981039346656037ull;
#define KVASIR_GPU_OP(name, Args) hash = (hash ^ sizeof(Args)) * 1099511628211ull;
#include "ops.inc"
#undef KVASIR_GPU_OP
  return hash;
}

/* Null where the library has no such version. */
typedef const KvasirGpuV1* (*KvasirGpuV1Function)(uint32_t version);

#ifdef __cplusplus
}
#endif

#endif
