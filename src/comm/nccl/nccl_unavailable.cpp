#include "base/error.h"
#include "comm/nccl/nccl_communicator.h"

namespace zt::comm {

std::unique_ptr<Communicator> make_nccl(Store&, const NcclOptions&) {
  throw DeviceError(
      "[comm.nccl] this build has no NCCL: got CUDA ranks, expected CPU ranks. Build with "
      "-DZT_WITH_CUDA=ON or pass --use_cpu.");
}

}  // namespace zt::comm
