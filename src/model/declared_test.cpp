// What layers declare is what they use: stashes are filled, and ATen allocates no more than
// library().
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/zeros.h>
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "memory/torch_dtype.h"
#include "model/family.h"

namespace zt::model {
namespace {

using layer::Keep;
using layer::Tensors;
using memory::scalar_type;

/// The usual allocator with a count of live bytes. Single-threaded.
class CountingAllocator final : public c10::Allocator {
 public:
  CountingAllocator() : base_(c10::GetDefaultCPUAllocator()) { c10::SetCPUAllocator(this); }
  ~CountingAllocator() override { c10::SetCPUAllocator(base_); }
  CountingAllocator(const CountingAllocator&) = delete;
  CountingAllocator& operator=(const CountingAllocator&) = delete;

  c10::DataPtr allocate(std::size_t size) override {
    live_ += static_cast<std::int64_t>(size);
    peak_ = std::max(peak_, live_);
    auto* header =
        new (base_->raw_allocate(size + kHeader)) Header{this, static_cast<std::int64_t>(size)};
    void* memory = reinterpret_cast<std::byte*>(header) + kHeader;
    return {memory, memory, &release, c10::Device(c10::DeviceType::CPU)};
  }
  [[nodiscard]] c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    default_copy_data(to, from, count);
  }

  void restart() {
    peak_ = live_;
    start_ = live_;
  }
  [[nodiscard]] std::int64_t peak() const { return peak_ - start_; }

 private:
  /// Before each piece of memory, as large as the alignment that ATen wants.
  struct Header {
    CountingAllocator* owner;
    std::int64_t size;
  };
  static constexpr std::size_t kHeader = 64;
  static void release(void* memory) {
    if (memory == nullptr) return;
    auto* header = reinterpret_cast<Header*>(static_cast<std::byte*>(memory) - kHeader);
    header->owner->live_ -= header->size;
    header->owner->base_->raw_deallocate(header);
  }
  c10::Allocator* base_;
  std::int64_t live_ = 0, peak_ = 0, start_ = 0;
};

/// Tensors of NaN: what a layer reads before it writes it shows.
Tensors poisoned(const std::vector<layer::TensorSpec>& specs) {
  Tensors result;
  for (const auto& spec : specs) {
    const double fill = spec.dtype == DType::i64 ? 0.0 : std::nan("");
    result.push_back(at::full(spec.shape, fill, at::TensorOptions(scalar_type(spec.dtype))));
  }
  return result;
}

struct Case {
  DType compute;
  Keep keep;
  bool documents;
};

Model small_qwen3() {
  return Qwen3Config{.hidden = 48,
                     .layers = 1,
                     .heads = 4,
                     .kv_heads = 2,
                     .head_dim = 16,
                     .ffn = 96,
                     .vocab = 211,
                     .tied = true};
}

Model small_mamba() {
  MambaConfig config;
  config.hidden = 48;
  config.layers = 1;
  config.vocab = 211;
  config.inner = 96;
  config.rank = 3;
  return config;
}

void expect_declared(const Model& family, const Case& c) {
  CountingAllocator memory;
  const auto model = family.make();
  layer::Batch batch;
  layer::Context context{.batch = &batch, .shape = {2, 33, c.documents}, .compute = c.compute};
  for (auto* ids : {&batch.input_ids, &batch.targets, &batch.position_ids})
    *ids = at::full({2, 33}, 5, at::TensorOptions(at::kLong));
  if (c.documents) {
    batch.cu_seqlens = at::empty({4}, at::kInt);
    const std::int32_t starts[] = {0, 10, 33, 66};
    std::copy(std::begin(starts), std::end(starts), batch.cu_seqlens.data_ptr<std::int32_t>());
  }
  context.loss_sum = at::zeros({1}, at::kDouble);
  const auto layout = layout::ModelLayout::make(model.params, model.units, 1);
  std::vector<at::Tensor> params(model.params.size()), grads(model.params.size());
  for (const auto& unit : layout.units) {
    const auto dtype = scalar_type(unit.keep_fp32() ? DType::f32 : c.compute);
    const auto flat = at::full({unit.padded().value}, 0.02, at::TensorOptions(dtype));
    const auto flat_grads = at::zeros({unit.padded().value}, at::kFloat);
    for (std::size_t i = 0; i < unit.unit().params.size(); ++i) {
      const auto p = static_cast<std::size_t>(unit.unit().params[i].value);
      params[p] =
          flat.narrow(0, unit.offset(i).value, unit.numel(i).value).view(model.params[p].shape);
      grads[p] = flat_grads.narrow(0, unit.offset(i).value, unit.numel(i).value)
                     .view(model.params[p].shape);
    }
  }
  const auto x =
      at::full({66, 48}, 0.5, at::TensorOptions(scalar_type(family.ends().residual(c.compute))));
  for (int warm = 0; warm < 2; ++warm) {
    for (const auto& layer : model.layers) {
      Tensors own, own_grads;
      for (const auto id : layer->params()) {
        own.push_back(params[static_cast<std::size_t>(id.value)]);
        own_grads.push_back(grads[static_cast<std::size_t>(id.value)]);
      }
      const auto stash = poisoned(layer->stash(context.shape, c.compute, c.keep));
      const auto forward_scratch =
          poisoned(layer->forward_scratch(context.shape, c.compute, c.keep));
      const auto backward_scratch =
          poisoned(layer->backward_scratch(context.shape, c.compute, c.keep));
      const auto y = layer->gives_loss() ? at::Tensor() : at::empty_like(x);
      const auto grad_x = at::empty_like(x);
      const auto library = layer->library(context.shape, c.compute, Device::cpu, false).value;
      memory.restart();
      layer->forward(context, c.keep, {own, x, y, stash, forward_scratch});
      if (warm == 1) {
        EXPECT_LE(memory.peak(), library) << layer->name() << " forward";
      }
      for (const auto& kept : stash)
        EXPECT_TRUE(at::isfinite(kept).all().item<bool>()) << layer->name();
      memory.restart();
      layer->backward(context, c.keep,
                      {own, x, layer->gives_loss() ? at::Tensor() : x, grad_x, stash,
                       backward_scratch, own_grads});
      if (warm == 1) {
        EXPECT_LE(memory.peak(), library) << layer->name() << " backward";
      }
      for (const auto& grad : own_grads)
        EXPECT_TRUE(at::isfinite(grad).all().item<bool>()) << layer->name();
    }
  }
}

TEST(DeclaredTest, StashesAreFilledAndTheLibraryAllocatesNoMoreThanDeclared) {
  for (const auto& family : {small_qwen3(), small_mamba()}) {
    for (const auto compute : {DType::f32, DType::bf16, DType::f16}) {
      for (const auto keep : {Keep::all, Keep::selective}) {
        for (const bool documents : {false, true}) {
          SCOPED_TRACE(std::string(family.architecture()) + " " + to_string(compute) +
                       (keep == Keep::all ? " all" : " selective") +
                       (documents ? " documents" : ""));
          expect_declared(family, {compute, keep, documents});
        }
      }
    }
  }
}

}  // namespace
}  // namespace zt::model
