// Distances of W from given matrices, and how its first singular vector lies.
#include <algorithm>
#include <cmath>

#include "core/executor/memory.hpp"
#include "kernels/combine.hpp"
#include "kernels/reduce.hpp"
#include "kernels/references.hpp"
#include "kernels/residual.hpp"
#include "models/factorization/best_rank.hpp"
#include "models/factorization/probes.hpp"
#include "models/factorization/probes/of_spectrum.hpp"
#include "models/factorization/probes/references.hpp"
#include "models/factorization/problem.hpp"

namespace manyfold::factorization {
namespace {

std::string size_text(std::int64_t rows, std::int64_t cols) {
  return std::to_string(rows) + "x" + std::to_string(cols);
}

// ---- distance

/// Whether the matrix is the family's: a file, or made from a target that all share.
bool one_for_all(const ProbeSettings& probe) { return probe.has("file") || probe.shared_problem; }

template <class T>
class Distance final : public Observer<T> {
 public:
  explicit Distance(const ObserverContext& context)
      : rows_(context.probe.shape.rows()),
        cols_(context.probe.shape.cols()),
        shared_(one_for_all(context.probe)),
        half_square_(context.executor, context.slots) {
    const ProbeSettings& probe = context.probe;
    if (probe.has("file")) file_ = reference_array(probe);
    if (probe.has("rank")) rank_ = probe.integer("rank");
    of_target_ = !file_ && rank_ < 0;
    if (of_target_) return;
    reference_ = Buffer<T>(context.executor, (shared_ ? 1 : context.slots) * rows_ * cols_);
    reference_.clear();
  }

  void load(std::span<const Settings> members) override {
    if (of_target_) return;
    const std::size_t count = shared_ ? 1 : members.size();
    for (std::size_t i = 0; i < count; ++i) {
      const std::vector<double> matrix = file_ ? file_->values : of_rank(members[i]);
      reference_.upload(std::vector<T>(matrix.begin(), matrix.end()),
                        static_cast<std::int64_t>(i) * rows_ * cols_);
    }
  }

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const MatrixBatch<const T> own{reference_.data(),           scene.slots(), rows_, cols_,
                                   shared_ ? 0 : rows_ * cols_, cols_};
    kernels::residual<T>(scene.executor(), {.w = scene.chain().end(),
                                            .target = of_target_ ? scene.objective().target() : own,
                                            .mask = {},
                                            .observed = true,
                                            .residual = {},
                                            .half_square = half_square_.data()});
    kernels::combine(scene.executor(), {.slots = scene.slots(),
                                        .scale = std::sqrt(2.0),
                                        .square_root = true,
                                        .numerator = half_square_.data(),
                                        .out = out,
                                        .out_stride = stride});
  }

 private:
  std::vector<double> of_rank(const Settings& member) const {
    return best_approximation(make_problem(member).target, rows_, cols_, rank_);
  }

  std::int64_t rows_;
  std::int64_t cols_;
  bool shared_;
  bool of_target_ = false;
  std::int64_t rank_ = -1;
  std::shared_ptr<const Array> file_;
  Buffer<double> half_square_;
  Buffer<T> reference_;
};

ObserverBytes distance_bytes(const ProbeSettings& probe) {
  ObserverBytes bytes{.per_slot = sizeof(double), .shared = 0};
  if (!probe.has("file") && !probe.has("rank")) return bytes;
  (one_for_all(probe) ? bytes.shared : bytes.per_slot) +=
      element_bytes(probe, probe.shape.rows() * probe.shape.cols());
  return bytes;
}

void validate_distance(const ProbeSettings& probe) {
  const Shape& shape = probe.shape;
  if (probe.has("rank")) {
    if (probe.has("file")) {
      probe.reject("rank", "a value beside " + probe.key("file"),
                   "a rank of the target's best approximation, or a file");
    }
    if (probe.integer("rank") > rank_limit(shape)) {
      probe.reject("rank", std::to_string(probe.integer("rank")),
                   "at most min(rows, cols) = " + std::to_string(rank_limit(shape)));
    }
  }
  if (!probe.has("file")) {
    if (objective_kind(probe.settings) == ObjectiveKind::linear) {
      probe.reject("a distance from the target of a linear objective, which has none",
                   "a file of a matrix");
    }
    if (probe.has("variable")) {
      probe.reject("variable", "a variable without " + probe.key("file"), "a file beside it");
    }
    return;
  }
  const auto array = reference_array(probe);
  if (array->shape != std::vector<std::int64_t>{shape.rows(), shape.cols()}) {
    probe.reject("file", "an array of shape " + array->shape_text(),
                 "the shape of W, " + size_text(shape.rows(), shape.cols()));
  }
}

// ---- the closest of several

std::int64_t matrices(const ProbeSettings& probe) {
  const auto array = reference_array(probe);
  return array->shape.size() == 3 ? array->shape[0] : 1;
}

template <class T>
class Closest : public Observer<T> {
 public:
  Closest(const ObserverContext& context, kernels::Reduction reduction)
      : reduction_(reduction),
        file_(reference_array(context.probe)),
        count_(matrices(context.probe)),
        references_(context.executor, static_cast<std::int64_t>(file_->values.size())),
        distances_(context.executor, context.slots * count_) {
    references_.upload(file_->values);
  }

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    const MatrixBatch<const T> end = scene.chain().end();
    kernels::reference_distances<T>(
        scene.executor(),
        {.x = flatten(end),
         .references = {references_.data(), scene.slots(), count_, end.size(), 0, end.size()},
         .out = distances_.data(),
         .out_stride = count_});
    kernels::reduce(scene.executor(), {.slots = scene.slots(),
                                       .count = count_,
                                       .reduction = reduction_,
                                       .x = distances_.data(),
                                       .x_stride = count_,
                                       .out = out,
                                       .out_stride = stride});
  }

 private:
  kernels::Reduction reduction_;
  std::shared_ptr<const Array> file_;
  std::int64_t count_;
  Buffer<double> references_;
  Buffer<double> distances_;
};
template <class T>
class ClosestDistance final : public Closest<T> {
 public:
  explicit ClosestDistance(const ObserverContext& context)
      : Closest<T>(context, kernels::Reduction::least) {}
};
template <class T>
class ClosestIndex final : public Closest<T> {
 public:
  explicit ClosestIndex(const ObserverContext& context)
      : Closest<T>(context, kernels::Reduction::least_place) {}
};

void validate_closest(const ProbeSettings& probe) {
  const Shape& shape = probe.shape;
  const auto array = reference_array(probe);
  const std::vector<std::int64_t>& found = array->shape;
  const bool fits = (found.size() == 2 || (found.size() == 3 && found[0] > 0)) &&
                    found[found.size() - 2] == shape.rows() && found.back() == shape.cols();
  if (fits) return;
  probe.reject("file", "an array of shape " + array->shape_text(),
               "(count, " + std::to_string(shape.rows()) + ", " + std::to_string(shape.cols()) +
                   "), matrices of the shape of W");
}

ObserverBytes closest_bytes(const ProbeSettings& probe) {
  return {.per_slot = double_bytes(matrices(probe)),
          .shared = double_bytes(matrices(probe) * probe.shape.rows() * probe.shape.cols())};
}

// ---- alignment

bool directions_from_file(const ProbeSettings& probe) { return probe.text("of") == "file"; }
bool directions_for_all(const ProbeSettings& probe) {
  return directions_from_file(probe) || probe.shared_problem;
}

std::int64_t directions_there_are(const ProbeSettings& probe) {
  if (directions_from_file(probe)) {
    const auto array = reference_array(probe);
    return array->shape.size() == 2 ? array->shape[0] : 1;
  }
  return probe.text("of") == "target" ? rank_limit(probe.shape) : probe.shape.rows();
}

std::int64_t direction_count(const ProbeSettings& probe) {
  return probe.has("count") ? probe.integer("count") : directions_there_are(probe);
}

/// The first `count` rows, each divided by its length.
std::vector<double> unit_rows(const Array& array, std::int64_t count, std::int64_t cols) {
  std::vector<double> rows(array.values.begin(),
                           array.values.begin() + static_cast<std::ptrdiff_t>(count * cols));
  for (auto row = rows.begin(); row != rows.end(); row += static_cast<std::ptrdiff_t>(cols)) {
    double norm = 0;
    for (auto x = row; x != row + static_cast<std::ptrdiff_t>(cols); ++x) {
      norm = std::hypot(norm, *x);
    }
    for (auto x = row; x != row + static_cast<std::ptrdiff_t>(cols); ++x) *x /= norm;
  }
  return rows;
}

template <class T>
class Alignment final : public Observer<T> {
 public:
  explicit Alignment(const ObserverContext& context)
      : rows_(context.probe.shape.rows()),
        count_(direction_count(context.probe)),
        of_(context.probe.text("of")),
        shared_(directions_for_all(context.probe)),
        directions_(context.executor, (shared_ ? 1 : context.slots) * count_ * rows_) {
    directions_.clear();
    if (of_ == "file") {
      directions_.upload(unit_rows(*reference_array(context.probe), count_, rows_));
    }
  }

  void load(std::span<const Settings> members) override {
    if (of_ == "file") return;
    const std::size_t count = shared_ ? 1 : members.size();
    for (std::size_t i = 0; i < count; ++i) {
      directions_.upload(of_ == "target" ? target_directions(members[i], count_)
                                         : gradient_directions(members[i], count_),
                         static_cast<std::int64_t>(i) * count_ * rows_);
    }
  }

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    kernels::reference_alignments(scene.executor(),
                                  {.x = scene.top_left_vector(),
                                   .references = {directions_.data(), scene.slots(), count_, rows_,
                                                  shared_ ? 0 : count_ * rows_, rows_},
                                   .out = out,
                                   .out_stride = stride});
  }

 private:
  std::int64_t rows_;
  std::int64_t count_;
  std::string of_;
  bool shared_;
  Buffer<double> directions_;
};

ObserverBytes alignment_bytes(const ProbeSettings& probe) {
  const std::size_t all = double_bytes(direction_count(probe) * probe.shape.rows());
  const bool shared = directions_for_all(probe);
  return {.per_slot = shared ? 0 : all, .shared = shared ? all : 0};
}

void validate_alignment(const ProbeSettings& probe) {
  const std::int64_t rows = probe.shape.rows();
  const std::string& of = probe.text("of");
  if (of == "gradient" && !probe.settings.boolean("objective.symmetric")) {
    probe.reject("of", "\"gradient\" with an objective that is not symmetric",
                 "objective.symmetric = true: eigenvectors of -grad f(0)");
  }
  if (directions_from_file(probe)) {
    if (!probe.has("file")) probe.reject("file", "nothing", "an array file of directions");
    const auto array = reference_array(probe);
    const std::vector<std::int64_t>& found = array->shape;
    const bool fits =
        (found.size() == 1 || (found.size() == 2 && found[0] > 0)) && found.back() == rows;
    if (!fits) {
      probe.reject("file", "an array of shape " + array->shape_text(),
                   "(count, " + std::to_string(rows) + "), directions among the rows of W");
    }
    for (std::int64_t i = 0; i < directions_there_are(probe); ++i) {
      const auto row = array->values.begin() + static_cast<std::ptrdiff_t>(i * rows);
      if (std::all_of(row, row + static_cast<std::ptrdiff_t>(rows),
                      [](double x) { return x == 0; })) {
        probe.reject("file", "a direction of length 0, row " + std::to_string(i),
                     "directions of any other length");
      }
    }
  } else if (probe.has("file")) {
    probe.reject("file", "a file beside of = \"" + of + "\"", "of = \"file\"");
  }
  if (direction_count(probe) > directions_there_are(probe)) {
    probe.reject(
        "count", std::to_string(direction_count(probe)),
        "at most the " + std::to_string(directions_there_are(probe)) + " directions there are");
  }
}

// ---- registered

const RegisterProbe distance({
    .kind = {.name = "distance",
             .extents = {},
             .units = "1",
             .long_name = "distance of the end-to-end matrix from a given one",
             .comment = "||W - A||_F over all entries; A is the target M, its best approximation "
                        "of the given rank, or a file",
             .keys = {rank_key(false), file_key(false), variable_key()}},
    .validate = validate_distance,
    .bytes = distance_bytes,
    .make = observer_maker<Distance>(),
});

const RegisterProbe closest_distance({
    .kind = {.name = "closest_distance",
             .extents = {},
             .units = "1",
             .long_name = "distance of the end-to-end matrix from the closest of several",
             .comment = "min_k ||W - A_k||_F (Li, Luo, Lyu 2021, figures 1 and 2)",
             .keys = {file_key(true), variable_key()}},
    .validate = validate_closest,
    .bytes = closest_bytes,
    .make = observer_maker<ClosestDistance>(),
});

const RegisterProbe closest_index({
    .kind = {.name = "closest_index",
             .extents = {},
             .units = "1",
             .long_name = "which of several matrices is closest to the end-to-end matrix",
             .comment = "the first k, from 0, with the least ||W - A_k||_F",
             .keys = {file_key(true), variable_key()}},
    .validate = validate_closest,
    .bytes = closest_bytes,
    .make = observer_maker<ClosestIndex>(),
});

const RegisterProbe alignment({
    .kind = {.name = "alignment",
             .extents = {"index"},
             .units = "1",
             .long_name = "alignment of the first left singular vector of the end-to-end matrix",
             .comment = "|<v_i, u_1(W)>| with v_i of length 1; NaN where W = 0 (Li, Luo, Lyu 2021, "
                        "figure 7)",
             .keys = {{.path = "of",
                       .type = Type::text,
                       .doc = "The directions v_i. target: left singular vectors of the target "
                              "(those beyond its rank are arbitrary); gradient: eigenvectors of "
                              "-grad f(0), largest eigenvalue first; file: rows of a file.",
                       .default_value = std::string("target"),
                       .choices = {"target", "gradient", "file"},
                       .sweepable = false},
                      {.path = "count",
                       .type = Type::integer,
                       .doc = "How many of the largest singular values, or how many directions; "
                              "by default all.",
                       .min = 1,
                       .sweepable = false},
                      file_key(false),
                      variable_key()}},
    .extents = [](const ProbeSettings& probe) -> std::vector<std::int64_t> {
      return {direction_count(probe)};
    },
    .validate = validate_alignment,
    .needs = {.top_left_vector = true},
    .bytes = alignment_bytes,
    .make = observer_maker<Alignment>(),
});

}  // namespace
}  // namespace manyfold::factorization
