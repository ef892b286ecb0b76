#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/units.h"

namespace zt::layout {

/// Index of a parameter in the model's parameter list. A tied parameter has one id and one storage.
struct ParamId {
  int value = -1;
  friend constexpr auto operator<=>(ParamId, ParamId) = default;
};
/// Index of a unit (the parameters gathered and reduced together).
struct UnitId {
  int value = -1;
  friend constexpr auto operator<=>(UnitId, UnitId) = default;
};

/// Offset of an element inside a unit's flat buffer.
struct UnitOffset {
  std::int64_t value = 0;
  friend constexpr auto operator<=>(UnitOffset, UnitOffset) = default;
};
/// Offset of an element inside one rank's shard of a unit.
struct ShardOffset {
  std::int64_t value = 0;
  friend constexpr auto operator<=>(ShardOffset, ShardOffset) = default;
};

/// How a parameter is filled when training starts from scratch.
enum class Init : std::uint8_t {
  zeros,
  ones,
  normal,     ///< standard deviation init_scale
  uniform,    ///< from -init_scale to init_scale
  constant,   ///< init_scale
  log_index,  ///< log(1), log(2), ... along each row (Mamba's A_log)
  /// Inverse softplus of max(init_floor, a value between init_low and init_high, even in its
  /// logarithm) (Mamba's dt_proj.bias)
  time_step
};

/// One parameter as the model declares it.
struct ParamSpec {
  std::string name;                 ///< Hugging Face name, e.g. `model.layers.0.mlp.up_proj.weight`
  std::vector<std::int64_t> shape;  ///< row-major
  Init init = Init::normal;
  double init_scale = 0.02;
  double init_low = 0, init_high = 0, init_floor = 0;  ///< of Init::time_step
  bool decay = true;      ///< false: norms and biases, unless the run decays everything
  bool adjacent = false;  ///< starts where the previous parameter of its unit ends (fused GEMM)
  std::vector<std::string>
      aliases;  ///< further names of the same storage (`lm_head.weight` when tied)
  /// Kept, sent and accumulated in fp32 also where the run computes in 16 bits (Mamba's A_log). The
  /// parameters of a unit agree on it.
  bool keep_fp32 = false;

  [[nodiscard]] Numel numel() const;
  /// The dtype of the parameter in a run that computes in `compute`.
  [[nodiscard]] DType dtype(DType compute) const { return keep_fp32 ? DType::f32 : compute; }
};

/// A unit as the model declares it: parameters in storage order.
struct UnitSpec {
  std::string name;
  std::vector<ParamId> params;
};

/// An equal slice of every rank's shard, sent in one collective.
struct BucketSlice {
  ShardOffset begin;
  Numel length;  ///< elements per rank; the buffer of the collective holds world x length
};

/// A part of a parameter that lies inside a shard.
struct ParamSlice {
  ParamId param;
  std::int64_t param_begin = 0;  ///< first element inside the parameter
  ShardOffset shard_begin;       ///< where it lies in the shard
  Numel length;
};

/// Where every parameter of one unit lies in the unit's flat buffer and in the shards.
///
/// The unit is padded to a multiple of world x kAlignment elements; rank r owns elements
/// [r x shard, (r + 1) x shard). Immutable; the only place with padding and alignment arithmetic.
/// Source: ZeRO (Rajbhandari et al., 2020), section 5; DeepSpeed's stage 3 pads each parameter
/// instead, which costs more collectives.
class UnitLayout {
 public:
  static constexpr std::int64_t kAlignment = 64;  ///< elements; 128 B in bf16, 256 B in fp32

  /// Errors: ConfigError when world < 1; InternalError when a parameter or `unit` is empty, or when
  /// its parameters differ in keep_fp32.
  UnitLayout(const std::vector<ParamSpec>& params, UnitSpec unit, int world);

  [[nodiscard]] const UnitSpec& unit() const { return unit_; }
  [[nodiscard]] int world() const { return world_; }
  /// Whether its parameters are fp32 in every run.
  [[nodiscard]] bool keep_fp32() const { return keep_fp32_; }
  [[nodiscard]] Numel used() const { return used_; }      ///< elements of parameters, no padding
  [[nodiscard]] Numel padded() const { return padded_; }  ///< elements of the flat buffer
  [[nodiscard]] Numel shard() const { return {padded_.value / world_}; }
  /// Start of the i-th parameter of the unit (not of parameter id i).
  [[nodiscard]] UnitOffset offset(std::size_t i) const { return offsets_.at(i); }
  [[nodiscard]] Numel numel(std::size_t i) const { return numels_.at(i); }
  /// First element of rank's shard.
  [[nodiscard]] UnitOffset shard_begin(int rank) const { return {rank * shard().value}; }
  /// The parameter parts a rank owns, in shard order; padding is in none of them.
  [[nodiscard]] std::vector<ParamSlice> slices(int rank) const;
  /// Cuts the shard into slices with world x length <= max_elements (at least kAlignment each).
  [[nodiscard]] std::vector<BucketSlice> buckets(Numel max_elements) const;

 private:
  UnitSpec unit_;
  int world_;
  bool keep_fp32_ = false;
  std::vector<UnitOffset> offsets_;
  std::vector<Numel> numels_;
  Numel used_, padded_;
};

/// All units of a model for one world size.
struct ModelLayout {
  std::vector<ParamSpec> params;
  std::vector<UnitLayout> units;
  std::vector<UnitId> unit_of;             ///< by ParamId
  std::vector<std::size_t> index_in_unit;  ///< by ParamId

  /// Errors: InternalError when a parameter is in no unit or in two.
  static ModelLayout make(std::vector<ParamSpec> params, std::vector<UnitSpec> units, int world);
  [[nodiscard]] Numel num_params() const;
};

}  // namespace zt::layout
