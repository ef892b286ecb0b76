#include "zero/rank_values.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "memory/arena.h"

namespace zt::zero {
namespace {

View view_of(const at::Tensor& values) { return {values.data_ptr(), values.numel(), DType::i64}; }

}  // namespace

std::vector<std::vector<std::int64_t>> gather_values(comm::Communicator& communicator,
                                                     const std::vector<std::int64_t>& mine) {
  const int world = communicator.world();
  const auto count = static_cast<std::int64_t>(mine.size());
  const auto on_host = at::TensorOptions().dtype(at::kLong);
  at::Tensor send = at::empty({count}, on_host);
  std::memcpy(send.data_ptr(), mine.data(), mine.size() * sizeof(std::int64_t));
  at::Tensor received;
  if (communicator.device() == Device::cuda) {
    // The collective runs on the default stream, ATen's copies on the thread's current one: the
    // host waits in between.
    const Launch launch{Device::cuda, nullptr};
    send = send.to(at::kCUDA);
    received = at::empty({world * count}, send.options());
    communicator.all_gather(view_of(send), view_of(received), launch);
    memory::synchronize(launch);
    communicator.check();
    received = received.to(at::kCPU);
  } else {
    received = at::empty({world * count}, on_host);
    communicator.all_gather(view_of(send), view_of(received), {});
  }
  // What a rank sends whose communicator is aborted meanwhile may be anything, and the abort
  // reaches this rank later. That rank does not come to the barrier.
  if (world > 1) communicator.barrier();
  const auto* values = received.const_data_ptr<std::int64_t>();
  std::vector<std::vector<std::int64_t>> by_rank;
  for (int rank = 0; rank < world; ++rank, values += count) {
    by_rank.emplace_back(values, values + count);
  }
  return by_rank;
}

std::vector<std::vector<double>> gather_values(comm::Communicator& communicator,
                                               const std::vector<double>& mine) {
  std::vector<std::int64_t> bits;  // the exchange only moves bytes
  for (const double value : mine) bits.push_back(std::bit_cast<std::int64_t>(value));
  std::vector<std::vector<double>> by_rank;
  for (const auto& of_rank : gather_values(communicator, bits)) {
    auto& values = by_rank.emplace_back();
    for (const auto value : of_rank) values.push_back(std::bit_cast<double>(value));
  }
  return by_rank;
}

std::int64_t sum_over_ranks(comm::Communicator& communicator, std::int64_t mine) {
  std::int64_t sum = 0;
  for (const auto& values : gather_values(communicator, std::vector<std::int64_t>{mine})) {
    sum += values.front();
  }
  return sum;
}

std::int64_t max_over_ranks(comm::Communicator& communicator, std::int64_t mine) {
  std::int64_t largest = mine;
  for (const auto& values : gather_values(communicator, std::vector<std::int64_t>{mine})) {
    largest = std::max(largest, values.front());
  }
  return largest;
}

}  // namespace zt::zero
