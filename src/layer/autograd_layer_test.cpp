// Named *_test beside autograd_layer.cpp: the files that include torch/torch.h.
#include "layer/autograd_layer.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "base/error.h"

namespace zt::layer {
namespace {

struct Fixture {
  torch::nn::Linear module{3, 4};
  BatchShape shape{.batch = 2, .sequence = 5};
  Batch batch;
  Context context{.batch = &batch, .shape = shape};

  AutogradLayer layer(bool loss) {
    AutogradOptions options;
    options.name = "linear";
    options.module = module.ptr();
    options.params = {{0}, {1}};
    options.forward = [m = module, loss](const at::Tensor& x, const Batch&) mutable {
      const auto y = torch::tanh(m->forward(x));
      return loss ? y.pow(2).sum() : y;
    };
    if (!loss) {
      options.output = [](const BatchShape& s) {
        return std::vector<std::int64_t>{s.batch, s.sequence, 4};
      };
    }
    return AutogradLayer(std::move(options));
  }
};

Tensors views() { return {torch::randn({4, 3}), torch::randn({4})}; }
Tensors zero_grads() { return {torch::zeros({4, 3}), torch::zeros({4})}; }

TEST(AutogradLayerTest, GradientsEqualThoseOfOneAutogradGraph) {
  Fixture f;
  const auto layer = f.layer(false);
  const auto params = views();
  const auto x = torch::randn({2, 5, 3});
  const auto grad_y = torch::randn({2, 5, 4});
  auto y = torch::empty({2, 5, 4}), grad_x = torch::empty({2, 5, 3});
  const Tensors none;
  auto grads = zero_grads();
  layer.forward(f.context, Keep::all, {params, x, y, none, none});
  layer.backward(f.context, Keep::all, {params, x, grad_y, grad_x, none, none, grads});

  auto w = params[0].clone().requires_grad_(true), b = params[1].clone().requires_grad_(true);
  auto leaf = x.clone().requires_grad_(true);
  const auto expected = torch::tanh(torch::linear(leaf, w, b));
  expected.backward(grad_y);
  EXPECT_TRUE(torch::equal(y, expected));
  EXPECT_TRUE(torch::equal(grad_x, leaf.grad()));
  EXPECT_TRUE(torch::equal(grads[0], w.grad()));
  EXPECT_TRUE(torch::equal(grads[1], b.grad()));
}

TEST(AutogradLayerTest, ParametersOverwrittenBetweenForwardAndBackwardAreReadAnew) {
  Fixture f;
  const auto layer = f.layer(false);
  const auto params = views();
  const auto kept = Tensors{params[0].clone(), params[1].clone()};
  const auto x = torch::randn({2, 5, 3});
  auto y = torch::empty({2, 5, 4}), grad_x = torch::empty({2, 5, 3});
  const Tensors none;
  layer.forward(f.context, Keep::all, {params, x, y, none, none});
  params[0].fill_(1e9);  // the buffer now belongs to another unit
  auto grads = zero_grads();
  layer.backward(f.context, Keep::all,
                 {kept, x, torch::ones({2, 5, 4}), grad_x, none, none, grads});
  EXPECT_TRUE(torch::isfinite(grad_x).all().item<bool>());
  EXPECT_GT(grad_x.abs().sum().item<float>(), 0.0F);
}

TEST(AutogradLayerTest, GradientsAreAddedAndLossIsSummedUnscaled) {
  Fixture f;
  const auto layer = f.layer(true);
  f.context.loss_scale = 0.25;
  f.context.loss_sum = torch::full({1}, 10.0, torch::kDouble);
  const auto params = views();
  const auto x = torch::randn({2, 5, 3});
  auto grad_x = torch::empty({2, 5, 3});
  const Tensors none;
  auto grads = Tensors{torch::ones({4, 3}), torch::ones({4})};
  layer.backward(f.context, Keep::all, {params, x, {}, grad_x, none, none, grads});

  auto w = params[0].clone().requires_grad_(true), b = params[1].clone().requires_grad_(true);
  const auto loss = torch::tanh(torch::linear(x, w, b)).pow(2).sum();
  (loss * 0.25).backward();
  EXPECT_DOUBLE_EQ(f.context.loss_sum.item<double>(), 10.0 + loss.item<double>());
  EXPECT_TRUE(torch::allclose(grads[0], w.grad() + 1));
  EXPECT_TRUE(torch::allclose(grads[1], b.grad() + 1));
}

TEST(AutogradLayerTest, DropoutAndBuffersAreRefused) {
  AutogradOptions options;
  options.name = "d";
  options.module = torch::nn::Dropout(0.1).ptr();
  EXPECT_THROW(AutogradLayer{options}, ConfigError);
  options.module = torch::nn::BatchNorm1d(3).ptr();
  options.params = {{0}, {1}};
  EXPECT_THROW(AutogradLayer{options}, ConfigError);
}

TEST(AutogradLayerTest, DeclaredParametersHaveTheModulesNamesAndNoDecayForVectors) {
  Fixture f;
  const auto specs = declare_params(*f.module, "net.");
  ASSERT_EQ(specs.size(), 2u);
  EXPECT_EQ(specs[0].name, "net.weight");
  EXPECT_TRUE(specs[0].decay);
  EXPECT_EQ(specs[1].name, "net.bias");
  EXPECT_FALSE(specs[1].decay);
}

}  // namespace
}  // namespace zt::layer
