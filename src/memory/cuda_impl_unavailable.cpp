#include "memory/cuda_impl.h"
#include "memory/queues.h"

namespace zt::memory {
namespace cuda {
namespace {

[[noreturn]] void refuse() {
  throw DeviceError(
      "[memory.cuda] this build has no CUDA. Run on the CPU (--use_cpu), or build with "
      "-DZT_WITH_CUDA=ON.");
}

}  // namespace

void* allocate_device(Bytes /*size*/) { refuse(); }
void free_device(void* /*base*/) {}
void lock_pages(void* /*base*/, Bytes /*size*/) { refuse(); }
void unlock_pages(void* /*base*/) {}
void copy_async(const View& /*from*/, const View& /*to*/, void* /*stream*/) { refuse(); }
void synchronize_stream(void* /*stream*/) { refuse(); }
void* create_stream() { refuse(); }
void destroy_stream(void* /*stream*/) {}
Bytes library_peak() { refuse(); }
void reset_library_peak() { refuse(); }
void limit_library(Bytes /*limit*/) { refuse(); }
std::int64_t library_allocations() { refuse(); }
void set_device(int /*index*/) { refuse(); }
int num_devices() { return 0; }
std::pair<Bytes, Bytes> memory_info() { refuse(); }

}  // namespace cuda

std::unique_ptr<Queues> make_cuda_queues(int /*device_index*/) { cuda::refuse(); }

}  // namespace zt::memory
