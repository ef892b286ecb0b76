#include "bench/random_inputs.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <memory>
#include <random>

#include "model/init.h"

namespace zt::bench {

zero::ParamSource random_params(const std::vector<layout::ParamSpec>& params) {
  constexpr std::int64_t kTable = 1 << 22;
  constexpr float kSpread = 0.02F;
  // Shared: the copies of the returned function own the table together.
  auto table = std::make_shared<std::vector<float>>(kTable);
  std::mt19937_64 generator(1);
  std::normal_distribution<float> normal(0, kSpread);
  for (auto& value : *table) value = normal(generator);
  return [params, table](layout::ParamId id, std::int64_t begin, std::span<float> values) {
    const auto index = static_cast<std::size_t>(id.value);
    if (params.at(index).init != layout::Init::normal) {
      model::fill_initial(params[index], id.value, 1, begin, values);
      return;
    }
    const auto shift = static_cast<std::int64_t>(index) * 1'299'709;
    const auto count = static_cast<std::int64_t>(values.size());
    for (std::int64_t i = 0; i < count;) {  // runs of the table
      const auto from = (begin + shift + i) % kTable;
      const auto run = std::min(count - i, kTable - from);
      std::copy_n(table->begin() + from, run, values.begin() + i);
      i += run;
    }
  };
}

std::vector<layer::Batch> random_batches(const layer::BatchShape& shape, std::int64_t vocab,
                                         int count, int rank, bool pinned) {
  std::mt19937_64 generator(static_cast<std::uint64_t>(rank) + 17);
  std::uniform_int_distribution<std::int64_t> token(0, vocab - 1);
  const auto options = at::TensorOptions().dtype(at::kLong);
  const auto placed = [&](const at::Tensor& tensor) {
    return pinned ? tensor.pin_memory() : tensor;
  };
  std::vector<layer::Batch> batches;
  for (int i = 0; i < count; ++i) {
    auto ids = at::empty({shape.batch, shape.sequence}, options);
    auto targets = at::empty({shape.batch, shape.sequence}, options);
    for (std::int64_t t = 0; t < shape.tokens(); ++t) {
      ids.data_ptr<std::int64_t>()[t] = token(generator);
      targets.data_ptr<std::int64_t>()[t] = token(generator);
    }
    const auto positions =
        at::arange(shape.sequence, options).expand({shape.batch, shape.sequence}).contiguous();
    batches.push_back({placed(ids), placed(targets), placed(positions), {}});
  }
  return batches;
}

}  // namespace zt::bench
