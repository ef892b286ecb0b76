#pragma once

#include <map>
#include <set>
#include <vector>

#include "schedule/builder.h"

namespace zt::schedule {

/// What is known while the operations of one variant are emitted.
struct Builder::MicroState {
  VariantKind kind = VariantKind::only;
  bool training = true;
  std::vector<Operation>* out = nullptr;
  std::vector<Use> uses;
  std::size_t position = 0;          ///< of the use whose operations are emitted
  std::map<int, BufferId> gathered;  ///< unit -> param_full that is live now
  Numel gathered_numel;
  /// Unit -> param_stage of offloaded parameters on their way: in host memory, on the device.
  std::map<int, BufferId> loaded, fetched;
  std::set<int> used;                 ///< units that an operation before has used
  std::set<int> unpublished;          ///< always gathered, not published since the boundary
  std::map<int, BufferId> grads;      ///< unit -> grad_full of this variant
  std::map<int, BufferId> parts;      ///< unit -> reduced gradient that goes to the host again
  std::map<int, int> grad_uses_left;  ///< unit -> backward operations still to come
  std::map<int, int> last_use;        ///< unit -> layer whose backward is its last one
  std::vector<BufferId> activations, grad_activations, stashes;  ///< by layer
  struct Held {  ///< ends behind the operation of use `until`, on `stream`
    std::size_t until;
    Stream stream;
    int unit, layer;
    std::vector<BufferId> buffers;
  };
  std::vector<Held> held;

  [[nodiscard]] bool first() const {
    return kind == VariantKind::first || kind == VariantKind::only;
  }
  [[nodiscard]] bool last() const { return kind == VariantKind::last || kind == VariantKind::only; }
};

}  // namespace zt::schedule
