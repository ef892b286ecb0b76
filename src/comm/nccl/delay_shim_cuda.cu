// Test only, preloaded into zt: every collective is preceded by a wait of random length on its
// stream, drawn on the device, so that each replay of a CUDA graph waits anew. The program itself
// knows nothing of it. Covers NCCL's calls and copies between GPUs.
#include <cuda.h>
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "nccl.h"

namespace {

constexpr unsigned kMostMicroseconds = 3000;
std::atomic<long> waits{0}, captured{0};

__device__ unsigned long long now_nanoseconds() {
  unsigned long long now = 0;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}

/// One wait in four is none; the others are up to kMostMicroseconds long.
__global__ void wait_kernel(unsigned salt) {
  const unsigned long long began = now_nanoseconds();
  unsigned long long mixed = (began >> 5U) * 0x9e3779b97f4a7c15ULL + salt * 0xd1b54a32d192ed03ULL;
  mixed ^= mixed >> 29U;
  mixed *= 0xbf58476d1ce4e5b9ULL;
  mixed ^= mixed >> 32U;
  if ((mixed & 3U) == 0) return;
  const unsigned long long wait = 1000ULL * ((mixed >> 8U) % kMostMicroseconds);
  while (now_nanoseconds() - began < wait) __nanosleep(500);
}

void wait_first(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  if (cudaStreamIsCapturing(stream, &status) == cudaSuccess &&
      status == cudaStreamCaptureStatusActive) {
    ++captured;
  }
  wait_kernel<<<1, 1, 0, stream>>>(static_cast<unsigned>(++waits));
  if (cudaGetLastError() != cudaSuccess) {
    std::fprintf(stderr, "[delay_shim] the wait could not be launched\n");
    std::abort();
  }
}

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

using BatchFunction = CUresult (*)(CUstream, unsigned int, CUstreamBatchMemOpParams*, unsigned int);
BatchFunction batch_function = nullptr;

/// Signals of copies between GPUs.
CUresult wait_and_signal(CUstream stream, unsigned int count, CUstreamBatchMemOpParams* operations,
                         unsigned int flags) {
  wait_first(stream);
  return batch_function(stream, count, operations, flags);
}

[[gnu::destructor]] void report() {
  if (waits > 0) {
    std::fprintf(stderr, "[delay_shim] %ld waits, %ld of them captured\n", waits.load(),
                 captured.load());
  }
}

}  // namespace

extern "C" cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function,
                                                        unsigned int version,
                                                        unsigned long long flags,
                                                        cudaDriverEntryPointQueryResult* found) {
  using Query = cudaError_t (*)(const char*, void**, unsigned int, unsigned long long,
                                cudaDriverEntryPointQueryResult*);
  const auto status =
      next<Query>("cudaGetDriverEntryPointByVersion")(symbol, function, version, flags, found);
  if (status == cudaSuccess && std::strcmp(symbol, "cuStreamBatchMemOp") == 0) {
    batch_function = reinterpret_cast<BatchFunction>(*function);
    *function = reinterpret_cast<void*>(&wait_and_signal);
  }
  return status;
}

extern "C" ncclResult_t ncclAllGather(const void* send, void* recv, size_t count,
                                      ncclDataType_t type, ncclComm_t comm, cudaStream_t stream) {
  wait_first(stream);
  return next<decltype(&ncclAllGather)>("ncclAllGather")(send, recv, count, type, comm, stream);
}

extern "C" ncclResult_t ncclReduceScatter(const void* send, void* recv, size_t count,
                                          ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,
                                          cudaStream_t stream) {
  wait_first(stream);
  return next<decltype(&ncclReduceScatter)>("ncclReduceScatter")(send, recv, count, type, op, comm,
                                                                 stream);
}

extern "C" ncclResult_t ncclSend(const void* send, size_t count, ncclDataType_t type, int peer,
                                 ncclComm_t comm, cudaStream_t stream) {
  wait_first(stream);
  return next<decltype(&ncclSend)>("ncclSend")(send, count, type, peer, comm, stream);
}
