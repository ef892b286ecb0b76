#include "kernels/embedding/embedding.h"

#include <gtest/gtest.h>
#include <omp.h>

#include "kernels/cpu/test_values.h"
#include "kernels/embedding/embedding_ref.h"

namespace zt::kernels {
namespace {

using test::close;
using test::normal;
using test::tolerance;
using test::Values;
using test::zeros;

constexpr std::int64_t kVocab = 23, kCols = 131;

/// Few different ids, so that rows repeat.
std::vector<double> some_ids(std::int64_t count) {
  std::vector<double> ids;
  for (std::int64_t i = 0; i < count; ++i) ids.push_back(static_cast<double>(i * i % 7 * 3));
  return ids;
}

TEST(EmbeddingTest, ForwardCopiesRows) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    Values table(normal(kVocab * kCols, 1), dtype);
    Values ids({22, 0, 5, 5}, DType::i64);
    Values y(zeros(4 * kCols), dtype);
    embedding_forward(ids.view(), table.view(), y.view(), kVocab, kCols, {});
    const auto rows = table.get();
    std::vector<double> want;
    for (const std::ptrdiff_t id : {22, 0, 5, 5})
      want.insert(want.end(), rows.begin() + id * kCols, rows.begin() + (id + 1) * kCols);
    EXPECT_EQ(y.get(), want);
    EXPECT_TRUE(y.guards_hold());
  }
}

Values gradient(std::int64_t count, DType grad_dtype, Values& grad) {
  Values ids(some_ids(count), DType::i64);
  Values table(normal(kVocab * kCols, 2), grad_dtype);
  Values workspace(zeros(embedding_workspace(count)), DType::i64);
  embedding_backward(ids.view(), grad.view(), table.view(), workspace.view(), kVocab, kCols, {});
  EXPECT_TRUE(workspace.guards_hold());
  return table;
}

TEST(EmbeddingTest, BackwardAddsRepeatedRowsInOrder) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const DType grad_dtype : {DType::f32, DType::bf16, DType::f16}) {
      for (const std::int64_t count : {0, 1, 50}) {
        Values grad(normal(count * kCols, 3), dtype);
        auto want = Values(normal(kVocab * kCols, 2), grad_dtype).get();
        reference::embedding_backward(some_ids(count), grad.get(), kCols, want);
        EXPECT_TRUE(
            close(gradient(count, grad_dtype, grad), want, tolerance(grad_dtype, 1, 32 * 8)));
      }
    }
  }
}

TEST(EmbeddingTest, BitsDoNotDependOnTheNumberOfThreads) {
  Values grad(normal(400 * kCols, 3), DType::f32);
  omp_set_num_threads(1);
  const auto one = gradient(400, DType::f32, grad);
  omp_set_num_threads(3);
  const auto three = gradient(400, DType::f32, grad);
  omp_set_num_threads(1);
  EXPECT_EQ(one.bytes(), three.bytes());
}

}  // namespace
}  // namespace zt::kernels
