#include "kernels/decode_attention/decode_attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/cpu/test_tensors.h"

namespace zt::kernels {
namespace {

using test::random_tensor;

/// One query head of one slot in fp64.
std::vector<double> reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                              std::int64_t length) {
  const auto dim = q.numel();
  const auto queries = q.to(at::kDouble).contiguous();
  std::vector<double> weights, out(static_cast<std::size_t>(dim), 0.0);
  double total = 0;
  for (std::int64_t t = 0; t < length; ++t) {
    const auto key = k.select(0, t).to(at::kDouble).contiguous();
    double score = 0;
    for (std::int64_t d = 0; d < dim; ++d) {
      score += queries.data_ptr<double>()[d] * key.data_ptr<double>()[d];
    }
    weights.push_back(std::exp(score / std::sqrt(static_cast<double>(dim))));
    total += weights.back();
  }
  for (std::int64_t t = 0; t < length; ++t) {
    const auto value = v.select(0, t).to(at::kDouble).contiguous();
    for (std::size_t d = 0; d < out.size(); ++d) {
      out[d] += weights[static_cast<std::size_t>(t)] / total * value.data_ptr<double>()[d];
    }
  }
  return out;
}

struct Case {
  DecodeAttentionShape shape{3, 11, 6, 2, 16};
  std::vector<std::int32_t> lengths{1, 7, 11};
};

void expect_reference(const Case& c, at::ScalarType dtype, double limit) {
  const auto& s = c.shape;
  const auto q = random_tensor({s.slots, s.q_heads, s.head_dim}, 1, dtype);
  const auto k = random_tensor({s.slots, s.capacity, s.kv_heads, s.head_dim}, 2, dtype);
  const auto v = random_tensor({s.slots, s.capacity, s.kv_heads, s.head_dim}, 3, dtype);
  const auto out = at::empty(q.sizes(), q.options());
  decode_attention(q, k, v, make_decode_lengths(c.lengths, s.capacity, q), out, s, {});
  for (std::int64_t slot = 0; slot < s.slots; ++slot) {
    for (std::int64_t head = 0; head < s.q_heads; ++head) {
      const auto kv = head / (s.q_heads / s.kv_heads);
      const auto want =
          reference(q.select(0, slot).select(0, head), k.select(0, slot).select(1, kv),
                    v.select(0, slot).select(1, kv), c.lengths[static_cast<std::size_t>(slot)]);
      const auto got = out.select(0, slot).select(0, head).to(at::kDouble).contiguous();
      for (std::size_t d = 0; d < want.size(); ++d) {
        ASSERT_NEAR(got.data_ptr<double>()[d], want[d], limit) << slot << " " << head << " " << d;
      }
    }
  }
}

TEST(DecodeAttentionTest, IsTheAttentionOfTheLastTokenInEveryDtype) {
  expect_reference({}, at::kFloat, 1e-5);
  expect_reference({}, at::kBFloat16, 3e-2);
  expect_reference({}, at::kHalf, 4e-3);
}

TEST(DecodeAttentionTest, HoldsForEqualHeadsAndOneSlot) {
  expect_reference({{1, 5, 4, 4, 24}, {5}}, at::kFloat, 1e-5);
  expect_reference({{2, 70, 1, 1, 64}, {65, 2}}, at::kFloat, 1e-5);
}

TEST(DecodeAttentionTest, WhatLiesBehindASlotsLengthIsNotRead) {
  const DecodeAttentionShape s{2, 9, 4, 2, 8};
  const std::vector<std::int32_t> lengths{4, 6};
  const auto q = random_tensor({2, 4, 8}, 1, at::kFloat);
  auto k = random_tensor({2, 9, 2, 8}, 2, at::kFloat);
  auto v = random_tensor({2, 9, 2, 8}, 3, at::kFloat);
  const auto first = at::empty(q.sizes(), q.options());
  const auto second = at::empty(q.sizes(), q.options());
  decode_attention(q, k, v, make_decode_lengths(lengths, 9, q), first, s, {});
  for (std::int64_t slot = 0; slot < 2; ++slot) {
    const auto begin = lengths[static_cast<std::size_t>(slot)];
    k.select(0, slot).narrow(0, begin, 9 - begin).fill_(std::numeric_limits<float>::quiet_NaN());
    v.select(0, slot).narrow(0, begin, 9 - begin).fill_(1e30F);
  }
  decode_attention(q, k, v, make_decode_lengths(lengths, 9, q), second, s, {});
  EXPECT_TRUE(at::equal(first, second));
}

}  // namespace
}  // namespace zt::kernels
