#include "testing/collective_checks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace zt::testing {
namespace {

/// A value that tells sender, receiver and place; exact in fp32.
float token(int from, int to, std::int64_t i) {
  return static_cast<float>(from * 100'000 + to * 10'000 + i % 9973);
}

View view_of(std::vector<float>& values) {
  return {values.data(), static_cast<std::int64_t>(values.size()), DType::f32};
}

void check_all_gather(comm::Communicator& comm, std::int64_t n, bool in_place) {
  std::vector<float> recv(static_cast<std::size_t>(n * comm.world()), -1.0F);
  std::vector<float> own(static_cast<std::size_t>(n));
  const View send = in_place ? view_of(recv).slice(comm.rank() * n, n) : view_of(own);
  for (std::int64_t i = 0; i < n; ++i) {
    send.as<float>()[i] = token(comm.rank(), 0, i);
  }
  comm.all_gather(send, view_of(recv), {});
  for (int from = 0; from < comm.world(); ++from) {
    for (std::int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(recv[static_cast<std::size_t>(from * n + i)], token(from, 0, i));
    }
  }
}

void check_all_to_all(comm::Communicator& comm, std::int64_t n) {
  std::vector<float> send, recv(static_cast<std::size_t>(n * comm.world()), -1.0F);
  for (int to = 0; to < comm.world(); ++to) {
    for (std::int64_t i = 0; i < n; ++i) {
      send.push_back(token(comm.rank(), to, i));
    }
  }
  comm.all_to_all(view_of(send), view_of(recv), {});
  for (int from = 0; from < comm.world(); ++from) {
    for (std::int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(recv[static_cast<std::size_t>(from * n + i)], token(from, comm.rank(), i));
    }
  }
}

void check_reduce_scatter(comm::Communicator& comm, std::int64_t n) {
  std::vector<float> send, recv(static_cast<std::size_t>(n), -1.0F);
  for (std::int64_t i = 0; i < n * comm.world(); ++i) {
    send.push_back(static_cast<float>((comm.rank() + 1) * (i % 1000)));
  }
  comm.reduce_scatter_sum(view_of(send), view_of(recv), {});
  const int ranks = comm.world() * (comm.world() + 1) / 2;
  for (std::int64_t i = 0; i < n; ++i) {
    ASSERT_EQ(recv[static_cast<std::size_t>(i)],
              static_cast<float>(ranks * ((comm.rank() * n + i) % 1000)));
  }
}

/// 1.5 per rank in 16 bits: sums stay exact.
void check_half_reduce_scatter(comm::Communicator& comm) {
  std::vector<std::uint16_t> send(static_cast<std::size_t>(3 * comm.world()), 0x3fc0), recv(3);
  comm.reduce_scatter_sum({send.data(), 3 * comm.world(), DType::bf16},
                          {recv.data(), 3, DType::bf16}, {});
  const float expected = 1.5F * static_cast<float>(comm.world());
  std::uint32_t bits = 0;
  static_assert(sizeof(bits) == sizeof(expected));
  __builtin_memcpy(&bits, &expected, sizeof(bits));
  for (const std::uint16_t value : recv) {
    ASSERT_EQ(value, bits >> 16);
  }
  std::fill(send.begin(), send.end(), std::uint16_t{0x3e00});
  comm.reduce_scatter_sum({send.data(), 3 * comm.world(), DType::f16}, {recv.data(), 3, DType::f16},
                          {});
  // fp16: the exponent's bias is 15 instead of 127, its fraction has 3 bits more than bf16's.
  const std::uint32_t half = ((bits >> 23) - 112) << 10 | (bits >> 13 & 0x3ffU);
  for (const std::uint16_t value : recv) {
    ASSERT_EQ(value, half);
  }
}

void check_broadcast(comm::Communicator& comm, std::int64_t n, int root) {
  std::vector<float> data;
  for (std::int64_t i = 0; i < n; ++i) {
    data.push_back(token(comm.rank(), root, i));
  }
  comm.broadcast(view_of(data), root, {});
  for (std::int64_t i = 0; i < n; ++i) {
    ASSERT_EQ(data[static_cast<std::size_t>(i)], token(root, root, i));
  }
}

}  // namespace

void check_collectives(comm::Communicator& comm) {
  for (const std::int64_t n : {1, 7, 1023, 100'003}) {
    SCOPED_TRACE(n);
    check_all_gather(comm, n, false);
    check_all_gather(comm, n, true);
    check_all_to_all(comm, n);
    check_reduce_scatter(comm, n);
    for (int root = 0; root < comm.world(); ++root) {
      check_broadcast(comm, n, root);
    }
    comm.barrier();
  }
  check_half_reduce_scatter(comm);
}

}  // namespace zt::testing
