// model_bench HIDDEN LAYERS HEADS KV_HEADS HEAD_DIM FFN VOCAB BATCH SEQUENCE ROUNDS
// CPU milliseconds (of all threads) of forward + backward of one micro-batch, fp32, buffers
// reserved before: the median, and per layer kind. benchmarks/model_cpu.py runs it beside
// transformers.
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <map>
#include <string>

#include "layer/tensor_view.h"
#include "model/init.h"
#include "model/qwen3.h"

namespace zt::model {
namespace {

using layer::Keep;
using layer::Tensors;

double cpu_milliseconds() { return 1e3 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

Tensors allocate(const std::vector<layer::TensorSpec>& specs) {
  Tensors result;
  for (const auto& spec : specs)
    result.push_back(at::empty(spec.shape, spec.dtype == DType::i64 ? at::kLong : at::kFloat));
  return result;
}

/// All buffers of one layer.
struct Buffers {
  Tensors params, grads, stash, forward_scratch, backward_scratch;
  at::Tensor y, grad_y;
};

class Bench {
 public:
  Bench(const Qwen3Config& config, layer::BatchShape shape) : model_(make_qwen3(config)) {
    context_.shape = shape;
    context_.batch = &batch_;
    context_.loss_scale = 1.0 / static_cast<double>(shape.tokens());
    context_.loss_sum = at::zeros({1}, at::kDouble);
    for (auto* tensor : {&batch_.input_ids, &batch_.targets, &batch_.position_ids}) {
      *tensor = at::empty({shape.batch, shape.sequence}, at::kLong);
      for (std::int64_t i = 0; i < shape.tokens(); ++i) {
        tensor->data_ptr<std::int64_t>()[i] =
            tensor == &batch_.position_ids ? i % shape.sequence : i * 7919 % config.vocab;
      }
    }
    const auto params = flat_params(true);
    const auto grads = flat_params(false);
    for (const auto& layer : model_.layers) {
      Buffers buffers;
      for (const auto id : layer->params()) {
        buffers.params.push_back(params[static_cast<std::size_t>(id.value)]);
        buffers.grads.push_back(grads[static_cast<std::size_t>(id.value)]);
      }
      buffers.stash = allocate(layer->stash(shape, DType::f32, Keep::all));
      buffers.forward_scratch = allocate(layer->forward_scratch(shape, DType::f32, Keep::all));
      buffers.backward_scratch = allocate(layer->backward_scratch(shape, DType::f32, Keep::all));
      if (!layer->gives_loss()) {
        buffers.y = allocate({layer->output(shape, DType::f32)})[0];
        buffers.grad_y = at::empty_like(buffers.y);
      }
      buffers_.push_back(std::move(buffers));
    }
  }

  void micro_step() {
    const auto count = buffers_.size();
    for (std::size_t i = 0; i + 1 < count; ++i) {
      auto& own = buffers_[i];
      timed("forward " + kind(i), [&] {
        model_.layers[i]->forward(context_, Keep::all,
                                  {own.params, i > 0 ? buffers_[i - 1].y : at::Tensor(), own.y,
                                   own.stash, own.forward_scratch});
      });
    }
    for (std::size_t i = count; i-- > 0;) {
      auto& own = buffers_[i];
      timed("backward " + kind(i), [&] {
        model_.layers[i]->backward(context_, Keep::all,
                                   {own.params, i > 0 ? buffers_[i - 1].y : at::Tensor(),
                                    own.grad_y, i > 0 ? buffers_[i - 1].grad_y : at::Tensor(),
                                    own.stash, own.backward_scratch, own.grads});
      });
    }
  }
  [[nodiscard]] const std::map<std::string, double>& spent() const { return spent_; }
  [[nodiscard]] double loss() const { return context_.loss_sum.item<double>(); }

 private:
  template <typename Call>
  void timed(const std::string& what, const Call& call) {
    const auto start = cpu_milliseconds();
    call();
    spent_[what] += cpu_milliseconds() - start;
  }
  [[nodiscard]] std::string kind(std::size_t i) const {
    return model_.layers[i]->name().substr(0, 5);
  }

  [[nodiscard]] std::vector<at::Tensor> flat_params(bool initial) const {
    const auto layout = layout::ModelLayout::make(model_.params, model_.units, 1);
    std::vector<at::Tensor> result(model_.params.size());
    for (const auto& unit : layout.units) {
      const auto flat = at::zeros({unit.padded().value}, at::kFloat);
      for (std::size_t i = 0; i < unit.unit().params.size(); ++i) {
        const auto p = static_cast<std::size_t>(unit.unit().params[i].value);
        result[p] =
            flat.narrow(0, unit.offset(i).value, unit.numel(i).value).view(model_.params[p].shape);
        const auto view = layer::view_of(result[p]);
        if (initial)
          fill_initial(model_.params[p], static_cast<int>(p), 1, 0,
                       {view.as<float>(), static_cast<std::size_t>(view.numel)});
      }
    }
    return result;
  }

  layer::ModelParts model_;
  layer::Batch batch_;
  layer::Context context_;
  std::vector<Buffers> buffers_;
  std::map<std::string, double> spent_;
};

}  // namespace
}  // namespace zt::model

int main(int argc, char** argv) {
  if (argc != 11) {
    std::fputs(
        "usage: model_bench HIDDEN LAYERS HEADS KV_HEADS HEAD_DIM FFN VOCAB BATCH SEQUENCE "
        "ROUNDS\n",
        stderr);
    return 2;
  }
  std::vector<std::int64_t> n;
  for (int i = 1; i < argc; ++i) n.push_back(std::stoll(argv[i]));
  const zt::model::Qwen3Config config{.hidden = n[0],
                                      .layers = n[1],
                                      .heads = n[2],
                                      .kv_heads = n[3],
                                      .head_dim = n[4],
                                      .ffn = n[5],
                                      .vocab = n[6],
                                      .tied = true};
  zt::model::Bench bench(config, {.batch = n[7], .sequence = n[8]});
  bench.micro_step();
  std::vector<double> times;
  for (std::int64_t round = 0; round < n[9]; ++round) {
    const auto start = zt::model::cpu_milliseconds();
    bench.micro_step();
    times.push_back(zt::model::cpu_milliseconds() - start);
  }
  std::sort(times.begin(), times.end());
  std::printf("%.1f ms\n", times[times.size() / 2]);
  for (const auto& [what, spent] : bench.spent())
    std::fprintf(stderr, "  %s %.1f ms\n", what.c_str(), spent / static_cast<double>(n[9] + 1));
  return 0;
}
