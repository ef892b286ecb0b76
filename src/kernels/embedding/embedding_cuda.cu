#include <cub/device/device_radix_sort.cuh>

#include "kernels/cuda_common.cuh"
#include "kernels/embedding/embedding_impl.h"

namespace zt::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

/// Grid: x over the ids, y over slices of a row.
template <typename T, int kCount>
__global__ void gather_kernel(const std::int64_t* ids, const T* table, T* y, std::int64_t cols) {
  const std::int64_t col =
      (static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * kCount;
  if (col < cols) {
    store_pack(y + static_cast<std::int64_t>(blockIdx.x) * cols + col,
               load_pack<T, kCount>(table + ids[blockIdx.x] * cols + col));
  }
}

__global__ void keys_kernel(const std::int64_t* ids, std::int32_t* keys, std::int32_t* positions,
                            std::int32_t count) {
  const auto i = static_cast<std::int32_t>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) {
    keys[i] = static_cast<std::int32_t>(ids[i]);
    positions[i] = i;
  }
}

/// A warp per sorted place and slice of 32 packs of columns; the first place of each id adds the
/// rows of all its positions, which the stable sort left in increasing order.
template <typename Grad, typename Table, int kCount>
__global__ void __launch_bounds__(kThreads)
    add_rows_kernel(const std::int32_t* keys, const std::int32_t* positions, std::int32_t count,
                    const Grad* grad_y, Table* grad_table, std::int64_t cols) {
  const auto place =
      static_cast<std::int32_t>(blockIdx.x * kWarps + threadIdx.x / static_cast<unsigned>(kWarp));
  const std::int64_t col =
      (static_cast<std::int64_t>(blockIdx.y) * kWarp + threadIdx.x % kWarp) * kCount;
  if (place >= count || col >= cols) {
    return;
  }
  const std::int32_t key = keys[place];
  if (place > 0 && keys[place - 1] == key) {
    return;
  }
  constexpr int kAhead = 4;  // rows loaded before they are added, in order
  float sum[kCount] = {};
  std::int32_t next = place;
  while (next < count && keys[next] == key) {
    Pack<Grad, kCount> row[kAhead];
    int held = 0;
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      if (held == a && next + a < count && keys[next + a] == key) {
        row[a] = load_pack<Grad, kCount>(
            grad_y + static_cast<std::int64_t>(positions[next + a]) * cols + col);
        held = a + 1;
      }
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      if (a < held) {
#pragma unroll
        for (int j = 0; j < kCount; ++j) {
          sum[j] += to_float(row[a].at[j]);
        }
      }
    }
    next += held;
  }
  Table* target = grad_table + key * cols + col;
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    target[j] = from_float<Table>(to_float(target[j]) + sum[j]);
  }
}

/// The parts of the workspace: keys and positions, unsorted and sorted, then the sort's own
/// storage.
struct SortSpace {
  std::int32_t *keys, *positions, *sorted_keys, *sorted_positions;
  void* storage;
  std::size_t storage_bytes;
};

SortSpace split_workspace(const View& workspace, std::int64_t count) {
  const std::int64_t part = round_up(count, 64);  // keeps each part 256-byte aligned
  const std::int64_t used = 4 * part * static_cast<std::int64_t>(sizeof(std::int32_t));
  const std::int64_t left = workspace.bytes().value - used;
  ZT_ASSERT(left > 0, "embedding backward needs its workspace");
  auto* base = workspace.as<std::int32_t>();
  return {base,
          base + part,
          base + 2 * part,
          base + 3 * part,
          base + 4 * part,
          static_cast<std::size_t>(left)};
}

int bits_for(std::int64_t vocab) {
  int bits = 1;
  while (bits < 31 && (std::int64_t{1} << bits) < vocab) {
    ++bits;
  }
  return bits;
}

void sort_positions(const SortSpace& space, std::int32_t count, std::int64_t vocab, void* stream) {
  const auto sort = [&](void* storage, std::size_t& bytes) {
    check_cuda(cub::DeviceRadixSort::SortPairs(storage, bytes, space.keys, space.sorted_keys,
                                               space.positions, space.sorted_positions, count, 0,
                                               bits_for(vocab), static_cast<cudaStream_t>(stream)),
               "embedding_backward");
  };
  std::size_t needed = 0;
  sort(nullptr, needed);
  if (needed > space.storage_bytes) {
    throw DeviceError("[kernels.embedding_backward] workspace: the sort needs " +
                      std::to_string(needed) + " bytes, expected at most " +
                      std::to_string(space.storage_bytes) + ". This is a bug in zerotrain.");
  }
  std::size_t given = space.storage_bytes;
  sort(space.storage, given);
}

}  // namespace

void embedding_forward_cuda(const View& ids, const View& table, const View& y,
                            std::int64_t /*vocab*/, std::int64_t cols, void* stream) {
  if (ids.numel == 0) {
    return;
  }
  dispatch_float(table.dtype, "embedding_forward", [&](auto tag) {
    using T = typename decltype(tag)::Type;
    constexpr int kCount = kPack<T>;
    const bool packed = cols % kCount == 0 && aligned16(table.data, y.data);
    const std::int64_t packs = ceil_div(cols, packed ? kCount : 1);
    const auto threads =
        static_cast<unsigned>(packs >= kThreads ? kThreads : round_up(packs, kWarp));
    launch_kernel(
        "embedding_forward", packed ? gather_kernel<T, kCount> : gather_kernel<T, 1>,
        dim3(static_cast<unsigned>(ids.numel), static_cast<unsigned>(ceil_div(packs, threads))),
        dim3(threads), 0, stream, ids.as<std::int64_t>(), table.as<T>(), y.as<T>(), cols);
  });
}

void embedding_backward_cuda(const View& ids, const View& grad_y, const View& grad_table,
                             const View& workspace, std::int64_t vocab, std::int64_t cols,
                             void* stream) {
  if (ids.numel == 0) {
    return;
  }
  const auto count = checked_narrow<std::int32_t>(ids.numel);
  const SortSpace space = split_workspace(workspace, count);
  launch_kernel("embedding_backward", keys_kernel,
                dim3(static_cast<unsigned>(ceil_div(count, kThreads))), dim3(kThreads), 0, stream,
                ids.as<std::int64_t>(), space.keys, space.positions, count);
  sort_positions(space, count, vocab, stream);
  dispatch_float(grad_y.dtype, "embedding_backward", [&](auto grad_tag) {
    dispatch_float(grad_table.dtype, "embedding_backward", [&](auto table_tag) {
      using Grad = typename decltype(grad_tag)::Type;
      using Table = typename decltype(table_tag)::Type;
      constexpr int kCount = kPack<Grad>;
      const bool packed = cols % kCount == 0 && aligned16(grad_y.data);
      const std::int64_t packs = ceil_div(cols, packed ? kCount : 1);
      launch_kernel("embedding_backward",
                    packed ? add_rows_kernel<Grad, Table, kCount> : add_rows_kernel<Grad, Table, 1>,
                    dim3(static_cast<unsigned>(ceil_div(count, kWarps)),
                         static_cast<unsigned>(ceil_div(packs, kWarp))),
                    dim3(kThreads), 0, stream, space.sorted_keys, space.sorted_positions, count,
                    grad_y.as<Grad>(), grad_table.as<Table>(), cols);
    });
  });
}

}  // namespace zt::kernels
