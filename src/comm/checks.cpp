#include "comm/checks.h"

namespace zt::comm {

void check_all_gather(const Communicator& comm, const View& send, const View& recv) {
  ZT_ASSERT(send.dtype == recv.dtype, "all_gather: dtypes differ");
  ZT_ASSERT(recv.numel == send.numel * comm.world(), "all_gather: recv is not [world x n]");
}

void check_all_to_all(const Communicator& comm, const View& send, const View& recv) {
  ZT_ASSERT(send.dtype == recv.dtype, "all_to_all: dtypes differ");
  ZT_ASSERT(send.numel == recv.numel, "all_to_all: lengths differ");
  ZT_ASSERT(send.numel % comm.world() == 0, "all_to_all: length is no multiple of world");
  ZT_ASSERT(send.data != recv.data || send.numel == 0, "all_to_all: not in place");
}

void check_reduce_scatter(const Communicator& comm, const View& send, const View& recv) {
  ZT_ASSERT(send.dtype == recv.dtype, "reduce_scatter: dtypes differ");
  ZT_ASSERT(send.dtype != DType::u8, "reduce_scatter: bytes cannot be added");
  ZT_ASSERT(send.numel == recv.numel * comm.world(), "reduce_scatter: send is not [world x n]");
}

void check_root(const Communicator& comm, int root) {
  ZT_ASSERT(root >= 0 && root < comm.world(), "root is not a rank");
}

}  // namespace zt::comm
