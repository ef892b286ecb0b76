#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "base/units.h"

namespace zt::generate {

/// How much a decoder holds at once.
struct DecoderShape {
  std::int64_t slots = 1;     ///< sequences at once
  std::int64_t capacity = 1;  ///< tokens of a sequence: prompt and new ones
};

/// A model as generation sees it: a fixed number of slots, each with the state of one sequence
/// (keys and values, or a state of constant size). A family of models is one implementation.
///
/// What a slot gives depends on its own tokens only, not on what the other slots hold: `step`
/// always computes all slots, used or not, so that its products have one shape.
/// Thread: one at a time. On CUDA work goes to ATen's current stream.
class Decoder {
 public:
  virtual ~Decoder() = default;
  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  [[nodiscard]] virtual DecoderShape shape() const = 0;
  [[nodiscard]] virtual std::int64_t vocab() const = 0;

  /// Begins a sequence in a slot, whatever was there, with 1 to capacity tokens.
  /// Returns the logits behind the last one, [1, vocab] in the compute dtype, until the next call.
  virtual at::Tensor prefill(std::int64_t slot, std::span<const std::int32_t> tokens) = 0;
  /// Appends one token to every slot in use; `tokens` [slots], entries of other slots are not read.
  /// Returns the logits behind them, [slots, vocab] in the compute dtype, until the next call; rows
  /// of other slots mean nothing.
  virtual at::Tensor step(std::span<const std::int32_t> tokens) = 0;
  /// Ends the sequence of a slot.
  virtual void release(std::int64_t slot) = 0;
};

/// What a decoder needs on its device, by kind.
struct DecoderMemory {
  Bytes weights;  ///< all parameters in the compute dtype
  Bytes state;    ///< caches or states of all slots
  Bytes work;     ///< upper estimate of temporaries: the longest prefill, a step, the logits
  [[nodiscard]] Bytes total() const { return weights + state + work; }
};

}  // namespace zt::generate
