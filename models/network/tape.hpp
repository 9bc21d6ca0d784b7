// Where the values of a network and their gradients stand while it is evaluated: which layers share
// memory, what is read when, and in which buffers gradients pass from the output to the input.
// Known from the layers alone, before anything is allocated.
//
// Scales never cost a pass over memory: a value is `scale` times what is stored, and whoever reads
// it multiplies by that (a product's alpha, a sum's coefficient).
#pragma once

#include <cstdint>
#include <vector>

#include "models/network/description.hpp"

namespace manyfold::network {

/// The output of a layer, or the network's input.
struct Value {
  int storage = -1;  ///< number among Tape::storage; -1: the input, which the caller has
  Shape shape;
  double scale = 1;
};

/// One layer that computes something.
struct Node {
  std::int64_t layer = 0;  ///< index in Description::layers
  int in = 0;              ///< value it reads
  int out = 0;             ///< value it makes
  int skip = -1;           ///< of the end of a block: the value that it began with
  double scale = 1;        ///< of the end of a block: what `in` is multiplied by beside its scale
};

/// A gradient in the stored values is `scale` times what stands in `buffer`.
struct Gradient {
  int buffer = -1;
  double scale = 1;
};

/// One node's part of backpropagation: from the gradient of its output to those of its weight and
/// its input.
struct BackwardStep {
  int node = 0;
  Gradient out;
  Gradient in;         ///< buffer -1: nobody needs it
  bool add = false;    ///< `in.buffer` holds what came from elsewhere: this is added
  int copy_from = -1;  ///< before that `in.buffer` becomes a copy of this one
};

struct Tape {
  std::vector<Value> values;           ///< the input first
  std::vector<Node> nodes;             ///< from the input
  std::vector<BackwardStep> backward;  ///< from the output
  int output = 0;                      ///< the value that is the network's output
  std::vector<bool> trained;           ///< of each value: whether a trained weight lies below it
  std::vector<std::int64_t> storage;   ///< elements an example of each
  std::vector<std::int64_t> buffers;   ///< likewise, of gradients; the output's is number 0
  std::int64_t patches = 0;            ///< elements an example of the largest patches

  std::int64_t elements() const;  ///< all of these together
};

Tape make_tape(const Description& description);

}  // namespace manyfold::network
