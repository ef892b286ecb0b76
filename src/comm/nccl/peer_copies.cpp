#include "comm/nccl/peer_copies.h"

#include <cuda.h>

#include <chrono>
#include <cstring>
#include <string>

#include "base/error.h"
#include "comm/process_identity.h"

namespace zt::comm {
namespace {

using BatchFunction = CUresult (*)(CUstream, unsigned int, CUstreamBatchMemOpParams*, unsigned int);

constexpr std::size_t kWordBytes = sizeof(std::uint32_t);
constexpr std::uint32_t kSet = 1;
/// Below, one call of NCCL is as fast.
constexpr std::int64_t kLeastBytes = 1 << 18;

/// What a rank tells the others before they map its memory.
struct Offer {
  cudaIpcMemHandle_t memory{}, words{};
  std::int64_t num_bytes = 0;
  std::uint64_t machine = 0;
  std::uint64_t usable = 0;
};

std::uint64_t machine_hash() {
  const auto identity = process_identity();
  return std::hash<std::string>{}(identity.substr(0, identity.find(' ')));
}

std::size_t num_bytes_of(const View& view) { return static_cast<std::size_t>(view.bytes().value); }

void* batch_function() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  const auto status = cudaGetDriverEntryPointByVersion("cuStreamBatchMemOp", &function, 12000,
                                                       cudaEnableDefault, &found);
  if (status != cudaSuccess || found != cudaDriverEntryPointSuccess) {
    (void)cudaGetLastError();
    return nullptr;
  }
  return function;
}

void* map(const cudaIpcMemHandle_t& handle) {
  void* data = nullptr;
  if (cudaIpcOpenMemHandle(&data, handle, cudaIpcMemLazyEnablePeerAccess) != cudaSuccess) {
    (void)cudaGetLastError();
    return nullptr;
  }
  return data;
}

void copy(void* to, const void* from, std::size_t num_bytes, cudaStream_t stream) {
  check_cuda(cudaMemcpyAsync(to, from, num_bytes, cudaMemcpyDeviceToDevice, stream),
             "cudaMemcpyAsync");
}

bool all_set(const std::vector<std::byte>& votes) {
  for (const auto vote : votes) {
    if (vote == std::byte{0}) return false;
  }
  return true;
}

}  // namespace

std::unique_ptr<PeerCopies> PeerCopies::connect(const View& memory, int rank, int world,
                                                const ExchangeBytes& exchange) {
  std::unique_ptr<PeerCopies> copies(new PeerCopies(memory, rank, world));
  Offer mine;
  mine.num_bytes = memory.bytes().value;
  mine.machine = machine_hash();
  const bool exported = cudaIpcGetMemHandle(&mine.memory, memory.data) == cudaSuccess &&
                        cudaIpcGetMemHandle(&mine.words, copies->words_.get()) == cudaSuccess;
  if (!exported) (void)cudaGetLastError();
  mine.usable = exported && copies->batch_function_ != nullptr ? 1 : 0;
  const auto offers = exchange(&mine, sizeof(mine));
  const std::byte opened{static_cast<unsigned char>(copies->open(offers) ? 1 : 0)};
  // Also the point from which on every rank's words are clear.
  return all_set(exchange(&opened, 1)) ? std::move(copies) : nullptr;
}

PeerCopies::PeerCopies(const View& memory, int rank, int world)
    : memory_(memory),
      rank_(rank),
      world_(world),
      words_(new_device_memory(2 * kWordBytes * static_cast<std::size_t>(world))),
      peers_(static_cast<std::size_t>(world)),
      batch_function_(batch_function()) {
  check_cuda(cudaMemset(words_.get(), 0, 2 * kWordBytes * static_cast<std::size_t>(world)),
             "cudaMemset");
  check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
}

PeerCopies::~PeerCopies() {
  releasing_ = {};
  for (const auto& peer : peers_) {
    if (peer.memory != nullptr) (void)cudaIpcCloseMemHandle(peer.memory);
    if (peer.words != nullptr) (void)cudaIpcCloseMemHandle(peer.words);
  }
}

bool PeerCopies::open(const std::vector<std::byte>& offers) {
  std::vector<Offer> all(static_cast<std::size_t>(world_));
  ZT_ASSERT(offers.size() == all.size() * sizeof(Offer), "one offer of each rank");
  std::memcpy(all.data(), offers.data(), offers.size());
  for (const auto& offer : all) {  // before anything is mapped: handles mean nothing elsewhere
    const bool near = offer.usable != 0 && offer.machine == machine_hash() &&
                      offer.num_bytes == memory_.bytes().value;
    if (!near) return false;
  }
  for (int rank = 0; rank < world_; ++rank) {
    if (rank == rank_) continue;
    const auto at = static_cast<std::size_t>(rank);
    auto& peer = peers_[at];
    peer.memory = static_cast<std::byte*>(map(all[at].memory));
    peer.words = static_cast<std::byte*>(map(all[at].words));
    if (peer.memory == nullptr || peer.words == nullptr) return false;
  }
  return true;
}

bool PeerCopies::takes(const View& recv) const {
  const auto* begin = static_cast<const std::byte*>(memory_.data);
  const auto* data = static_cast<const std::byte*>(recv.data);
  return recv.bytes().value >= kLeastBytes && data >= begin &&
         data + recv.bytes().value <= begin + memory_.bytes().value;
}

std::byte* PeerCopies::word(std::byte* owner, Signal signal, int from) const {
  return owner + kWordBytes * (static_cast<std::size_t>(signal) * static_cast<std::size_t>(world_) +
                               static_cast<std::size_t>(from));
}

void PeerCopies::meet(Signal signal, cudaStream_t stream) const {
  std::vector<CUstreamBatchMemOpParams> operations;
  const auto add = [&](CUstreamBatchMemOpType kind, std::byte* address, std::uint32_t value) {
    CUstreamBatchMemOpParams operation{};
    operation.operation = kind;
    auto& what = operation.writeValue;  // a wait has the same leading fields
    what.operation = kind;
    what.address = reinterpret_cast<CUdeviceptr>(address);
    what.value = value;
    what.flags = kind == CU_STREAM_MEM_OP_WAIT_VALUE_32
                     ? static_cast<unsigned>(CU_STREAM_WAIT_VALUE_GEQ)
                     : static_cast<unsigned>(CU_STREAM_WRITE_VALUE_DEFAULT);
    operations.push_back(operation);
  };
  auto* own = static_cast<std::byte*>(words_.get());
  for (int turn = 1; turn < world_; ++turn) {
    const int rank = (rank_ + turn) % world_;
    add(CU_STREAM_MEM_OP_WRITE_VALUE_32,
        word(peers_[static_cast<std::size_t>(rank)].words, signal, rank_), kSet);
  }
  for (const auto kind : {CU_STREAM_MEM_OP_WAIT_VALUE_32, CU_STREAM_MEM_OP_WRITE_VALUE_32}) {
    const std::uint32_t value = kind == CU_STREAM_MEM_OP_WAIT_VALUE_32 ? kSet : 0;
    for (int rank = 0; rank < world_; ++rank) {
      if (rank != rank_) add(kind, word(own, signal, rank), value);
    }
  }
  const CUresult result = reinterpret_cast<BatchFunction>(batch_function_)(
      stream, static_cast<unsigned>(operations.size()), operations.data(), 0);
  if (result != CUDA_SUCCESS) {
    throw DeviceError("[comm.copies] cuStreamBatchMemOp failed with CUDA error " +
                      std::to_string(static_cast<int>(result)) + ". Run with --transfers nccl.");
  }
}

void PeerCopies::all_gather(const View& send, const View& recv, cudaStream_t stream) {
  const auto bytes = num_bytes_of(send);
  const auto base = static_cast<std::byte*>(recv.data) - static_cast<std::byte*>(memory_.data);
  const auto offset = static_cast<std::size_t>(base) + static_cast<std::size_t>(rank_) * bytes;
  meet(Signal::ready, stream);
  auto* own = static_cast<std::byte*>(memory_.data) + offset;
  if (own != send.data) copy(own, send.data, bytes, stream);
  for (int turn = 1; turn < world_; ++turn) {
    const auto peer = static_cast<std::size_t>((rank_ + turn) % world_);
    copy(peers_[peer].memory + offset, send.data, bytes, stream);
  }
  meet(Signal::done, stream);
}

void PeerCopies::all_to_all(const View& send, const View& recv, cudaStream_t stream) {
  const auto bytes = num_bytes_of(send) / static_cast<std::size_t>(world_);
  const auto base = static_cast<std::byte*>(recv.data) - static_cast<std::byte*>(memory_.data);
  const auto offset = static_cast<std::size_t>(base) + static_cast<std::size_t>(rank_) * bytes;
  const auto* parts = static_cast<const std::byte*>(send.data);
  meet(Signal::ready, stream);
  for (int turn = 0; turn < world_; ++turn) {
    const auto rank = static_cast<std::size_t>((rank_ + turn) % world_);
    auto* to = turn == 0 ? static_cast<std::byte*>(memory_.data) : peers_[rank].memory;
    copy(to + offset, parts + rank * bytes, bytes, stream);
  }
  meet(Signal::done, stream);
}

void PeerCopies::release() {
  if (releasing_.joinable()) return;
  int device = 0;
  (void)cudaGetDevice(&device);
  releasing_ = std::jthread([this, device](const std::stop_token& stop) {
    constexpr int kAnySet = 1;  // 0x01010101 in each word
    (void)cudaSetDevice(device);
    const auto stream = new_stream();
    const std::size_t bytes = 2 * kWordBytes * static_cast<std::size_t>(world_);
    // Operations that come after a released one wait again.
    while (!stop.stop_requested()) {
      if (cudaMemsetAsync(words_.get(), kAnySet, bytes, stream.get()) != cudaSuccess) return;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  });
}

}  // namespace zt::comm
