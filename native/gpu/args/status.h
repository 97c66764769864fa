/* What every call gives back, and what the table hands out. */
#ifndef KVASIR_GPU_ARGS_STATUS_H
#define KVASIR_GPU_ARGS_STATUS_H

enum {
  KVASIR_GPU_OK = 0,
  KVASIR_GPU_ABSENT = 1,      /* no driver, or no device: nothing is wrong with the call */
  KVASIR_GPU_INVALID = 2,     /* an argument is */
  KVASIR_GPU_NO_MEMORY = 3,
  KVASIR_GPU_FAILED = 4,      /* the device or the driver says so; emulated: a fault of a kernel */
  KVASIR_GPU_NOT_READY = 5,   /* of queries alone */
  KVASIR_GPU_UNSUPPORTED = 6
};

typedef struct KvasirDevice KvasirDevice;
typedef struct KvasirStream KvasirStream;
typedef struct KvasirEvent KvasirEvent;
typedef struct KvasirGraph KvasirGraph;

#endif
