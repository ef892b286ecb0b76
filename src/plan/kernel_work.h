#pragma once

#include <cstdint>

namespace zt::plan {

/// Kernels whose times a device file holds, beside products and attention.
namespace kernel {
inline constexpr const char* kRmsNorm = "rms_norm";
inline constexpr const char* kRmsNormResidual = "rms_norm_residual";
inline constexpr const char* kRmsNormBackward = "rms_norm_backward";
inline constexpr const char* kHeads = "qk_norm_rope";
inline constexpr const char* kHeadsBackward = "qk_norm_rope_backward";
inline constexpr const char* kSwiglu = "swiglu";
inline constexpr const char* kSwigluBackward = "swiglu_backward";
inline constexpr const char* kCrossEntropy = "cross_entropy";
inline constexpr const char* kEmbedding = "embedding";
inline constexpr const char* kEmbeddingBackward = "embedding_backward";
inline constexpr const char* kAdamW = "adamw";
inline constexpr const char* kFillZero = "fill_zero";
inline constexpr const char* kOrderedSum = "ordered_sum";
inline constexpr const char* kPack = "cast_strided";
inline constexpr const char* kNorm = "sum_of_squares";
}  // namespace kernel

/// Elements that one row of a kernel reads and writes, in the compute dtype. h: hidden; heads:
/// (query + 2 x kv heads) x head_dim; F: ffn; V: vocabulary.
namespace row_elements {
constexpr std::int64_t rms_norm(std::int64_t h) { return 2 * h; }
constexpr std::int64_t rms_norm_residual(std::int64_t h) { return 4 * h; }
constexpr std::int64_t rms_norm_backward(std::int64_t h) { return 4 * h; }
constexpr std::int64_t heads(std::int64_t width) { return 2 * width; }
constexpr std::int64_t heads_backward(std::int64_t width) { return 3 * width; }
constexpr std::int64_t swiglu(std::int64_t F) { return 3 * F; }
constexpr std::int64_t swiglu_backward(std::int64_t F) { return 5 * F; }
constexpr std::int64_t cross_entropy(std::int64_t V) { return 2 * V; }
constexpr std::int64_t embedding(std::int64_t h) { return 2 * h; }
}  // namespace row_elements

/// Bytes per element of flat kernels in mixed precision. Gradients of the shard are fp32.
namespace flat_bytes {
constexpr double kAdamW = 30;  ///< reads master, two moments, gradient; writes three, parameter
constexpr double kNorm = 4;
/// Parts of `world` ranks in the wire dtype, one sum written.
constexpr double ordered_sum(int world, double wire, double out, bool accumulate) {
  return world * wire + out * (accumulate ? 2 : 1);
}
}  // namespace flat_bytes

}  // namespace zt::plan
