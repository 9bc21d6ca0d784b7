// Students and their teachers side by side on a device.
#include "models/teacher/teacher.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "core/executor/memory.hpp"
#include "kernels/norms.hpp"
#include "kernels/teacher.hpp"
#include "kernels/widen.hpp"
#include "models/teacher/problem.hpp"
#include "models/teacher/start.hpp"
#include "models/training/hyperparameter.hpp"
#include "models/training/optimizer.hpp"
#include "models/training/probes.hpp"

namespace manyfold {
namespace teacher {
namespace {

constexpr const char* at_global = "stop.at_global";
constexpr const char* at_spurious = "stop.at_spurious";

template <class T>
std::int64_t stride_of(const Shape& shape) {
  return padded<T>(shape.parameters());
}

/// Largest deviation of a, and the angle: one number stands for both.
struct Tolerance {
  double a = -1;  ///< negative: never
  double angle = -1;
};
Tolerance tolerance_of(const Settings& settings, const char* key) {
  if (!settings.has(key)) return {};
  const std::vector<double> values = settings.numbers(key);
  return {values.front(), values.back()};
}

bool ends_at_points(const Settings& settings) {
  return settings.has(at_global) || settings.has(at_spurious);
}

/// Tolerances of every slot.
class Tolerances {
 public:
  Tolerances(Executor& executor, std::int64_t slots, const char* key)
      : key_(key), a_(executor, slots), angle_(executor, slots) {}
  void load(std::span<const Settings> members) {
    upload_each(a_, members, -1.0, [&](const Settings& m) { return tolerance_of(m, key_).a; });
    upload_each(angle_, members, -1.0,
                [&](const Settings& m) { return tolerance_of(m, key_).angle; });
  }
  const double* a() const { return a_.data(); }
  const double* angle() const { return angle_.data(); }
  static constexpr std::size_t bytes_per_slot = 2 * sizeof(double);

 private:
  const char* key_;
  Buffer<double> a_;
  Buffer<double> angle_;
};

template <class T>
class StudentModel final : public Model {
 public:
  StudentModel(Executor& executor, const Settings& example, std::int64_t slots, bool shared_problem)
      : executor_(executor),
        shape_(shape_of(example)),
        slots_(slots),
        shared_(shared_problem),
        ends_(ends_at_points(example)),
        parameters_(executor, slots * stride_of<T>(shape_)),
        gradient_(executor, slots * stride_of<T>(shape_)),
        teacher_(executor, (shared_problem ? 1 : slots) * stride_of<T>(shape_)),
        sum_(executor, slots),
        global_(executor, ends_ ? slots : 0, at_global),
        spurious_(executor, ends_ ? slots : 0, at_spurious) {
    gradient_.clear();  // what pads a slot is never written
    for (const std::string& name : example.children("probes")) {
      probes_[name] = probe_kind_name(example, name);
    }
  }

  void load(std::span<const Settings> members) override {
    // Slots without a member compute too: on the first one's numbers.
    const std::int64_t stride = stride_of<T>(shape_);
    std::vector<T> values(static_cast<std::size_t>(parameters_.size()), T{0});
    std::vector<T> teachers(static_cast<std::size_t>(teacher_.size()), T{0});
    std::vector<double> sums(static_cast<std::size_t>(slots_), 0.0);
    Problem problem;
    std::string drawn;  // the key of `problem`: neighbours mostly share it
    for (std::int64_t slot = 0; slot < slots_; ++slot) {
      const bool taken = slot < static_cast<std::int64_t>(members.size());
      if (!taken && members.empty()) break;
      const Settings& member = members[taken ? static_cast<std::size_t>(slot) : 0];
      if (const std::string key = problem_key(member); key != drawn) {
        problem = make_problem(member);
        drawn = key;
      }
      put(start(member, problem), values.data() + slot * stride);
      // The sum of what the device holds, so that the gradient vanishes at the teacher exactly.
      const T* a = teachers.data() + (shared_ ? 0 : slot * stride) + shape_.filter;
      if (!shared_ || slot == 0) put(teacher_of(problem), teachers.data() + slot * stride);
      double sum = 0;
      for (std::int64_t i = 0; i < shape_.patches; ++i) sum += a[i];
      sums[static_cast<std::size_t>(slot)] = sum;
    }
    parameters_.upload(values);
    teacher_.upload(teachers);
    sum_.upload(sums);
    if (!ends_) return;
    global_.load(members);
    spurious_.load(members);
  }

  AnyParameters parameters() override { return Parameters<T>{all(parameters_), all(gradient_)}; }

  void evaluate(const kernels::StepControl& control, Wanted wanted) override {
    kernels::teacher_gradient<T>(executor_,
                                 {.student = student(),
                                  .teacher = teacher(),
                                  .grad_v = part(gradient_, 0, shape_.filter),
                                  .grad_a = part(gradient_, shape_.filter, shape_.patches),
                                  .loss = wanted.train_loss ? control.train_loss : nullptr});
    if (wanted.grad_norm2) {
      kernels::sum_of_squares<T>(executor_, {all(gradient_), control.grad_norm2, 1});
    }
  }

  void evaluate_stochastic(const kernels::StepControl&, const StochasticGradient&) override {
    throw std::logic_error("validation lets no optimizer ask a population loss for terms");
  }
  const std::int64_t* terms() override { return nullptr; }

  void check(const kernels::StepControl& control) override {
    if (!ends_) return;
    kernels::teacher_check<T>(executor_, {.control = control,
                                          .student = student(),
                                          .teacher = teacher(),
                                          .global_a = global_.a(),
                                          .global_angle = global_.angle(),
                                          .spurious_a = spurious_.a(),
                                          .spurious_angle = spurious_.angle()});
  }

  void observe(const std::string& probe, double* out, std::int64_t stride) override {
    const std::string& kind = probes_.at(probe);
    if (kind == "parameters") return kernels::widen<T>(executor_, {all(parameters_), out, stride});
    const auto what = kind == "phi"       ? kernels::TeacherDistance::angle
                      : kind == "a_error" ? kernels::TeacherDistance::a
                                          : kernels::TeacherDistance::sum;
    kernels::teacher_distance<T>(executor_, {.student = student(),
                                             .teacher = teacher(),
                                             .what = what,
                                             .out = out,
                                             .out_stride = stride});
  }

  static std::size_t bytes_per_slot(const Settings& settings, bool shared_problem) {
    const std::size_t vector =
        static_cast<std::size_t>(stride_of<T>(shape_of(settings))) * sizeof(T);
    return (shared_problem ? 2 : 3) * vector + sizeof(double) +
           (ends_at_points(settings) ? 2 * Tolerances::bytes_per_slot : 0);
  }
  static std::size_t shared_bytes(const Settings& settings, bool shared_problem) {
    return shared_problem ? static_cast<std::size_t>(stride_of<T>(shape_of(settings))) * sizeof(T)
                          : 0;
  }

 private:
  static std::vector<double> teacher_of(const Problem& problem) {
    std::vector<double> both = problem.w;
    both.insert(both.end(), problem.a.begin(), problem.a.end());
    return both;
  }
  static void put(const std::vector<double>& from, T* to) {
    std::transform(from.begin(), from.end(), to, [](double x) { return static_cast<T>(x); });
  }
  VectorBatch<T> all(const Buffer<T>& buffer) const { return part(buffer, 0, shape_.parameters()); }
  VectorBatch<T> part(const Buffer<T>& buffer, std::int64_t first, std::int64_t count) const {
    return {buffer.data() + first, slots_, count, stride_of<T>(shape_)};
  }
  kernels::Students<T> student() const {
    return {part(parameters_, 0, shape_.filter), part(parameters_, shape_.filter, shape_.patches)};
  }
  kernels::Teachers<T> teacher() const {
    VectorBatch<const T> w = part(teacher_, 0, shape_.filter);
    VectorBatch<const T> a = part(teacher_, shape_.filter, shape_.patches);
    if (shared_) w.slot_stride = a.slot_stride = 0;
    return {w, a, sum_.data()};
  }

  Executor& executor_;
  Shape shape_;
  std::int64_t slots_;
  bool shared_;
  bool ends_;
  Buffer<T> parameters_;  ///< v, then a
  Buffer<T> gradient_;
  Buffer<T> teacher_;  ///< w*, then a*
  Buffer<double> sum_;
  Tolerances global_;
  Tolerances spurious_;
  std::map<std::string, std::string> probes_;  ///< name in the experiment -> registered name
};

std::span<const ProbeKind> probe_kinds() {
  static const std::array kinds{
      ProbeKind{.name = "phi",
                .extents = {},
                .units = "rad",
                .long_name = "angle between the student's filter and the teacher's",
                .comment = "phi = angle(v, w*), in [0, pi]",
                .keys = {}},
      ProbeKind{.name = "a_error",
                .extents = {},
                .units = "1",
                .long_name = "distance of the output weights from the teacher's",
                .comment = "||a - a*||",
                .keys = {}},
      ProbeKind{.name = "sum_error",
                .extents = {},
                .units = "1",
                .long_name = "difference of the sums of the output weights",
                .comment = "|1.a - 1.a*|",
                .keys = {}},
      ProbeKind{.name = "parameters",
                .extents = {"parameter"},
                .units = "1",
                .long_name = "parameters",
                .comment = "the filter v and the output weights a",
                .keys = {},
                .is_parameters = true},
  };
  return kinds;
}

void add_keys(Spec& spec) {
  add_problem_keys(spec);
  add_start_keys(spec);
  const std::vector<Condition> for_teachers{{"model.kind", {model_name}}};
  spec.add({.path = at_global,
            .type = Type::number | Type::numbers,
            .doc = "A student has converged when it is at its teacher: every entry of a within the "
                   "first number, phi below the second; one number stands for both.",
            .min = 0,
            .min_exclusive = true,
            .when = for_teachers});
  spec.add({.path = at_spurious,
            .type = Type::number | Type::numbers,
            .doc = "A student has converged when it is at the spurious point of lemma 5.1: every "
                   "entry of a within the first number, pi - phi below the second; one number "
                   "stands for both.",
            .min = 0,
            .min_exclusive = true,
            .when = for_teachers});
}

void validate(const Settings& settings) {
  validate_problem(settings);
  const OptimizerKind& optimizer = optimizer_kind(settings);
  if (!optimizer.needs_gradient) {
    settings.reject(
        "optimizer.kind",
        fmt::format("\"{}\" with model.kind = \"{}\"", optimizer.name, model_name),
        "an optimizer of the whole gradient: a population loss has no terms to draw and "
        "no labels");
  }
  for (const char* key : {at_global, at_spurious}) {
    if (!settings.has(key)) continue;
    const std::size_t count = settings.numbers(key).size();
    if (count == 1 || count == 2) continue;
    settings.reject(key, fmt::format("{} numbers", count),
                    "one tolerance, or that of a and that of the angle");
  }
}

std::string shape_key(const Settings& settings) {
  const Shape shape = shape_of(settings);
  return fmt::format("{} of {} patches, filter {}{}", model_name, shape.patches, shape.filter,
                     ends_at_points(settings) ? ", ends at the end points" : "");
}

Footprint footprint(const Settings& settings, bool shared_problem) {
  const Shape shape = shape_of(settings);
  const bool wide = settings.text("precision") == "f64";
  Footprint footprint;
  footprint.bytes_per_slot = wide ? StudentModel<double>::bytes_per_slot(settings, shared_problem)
                                  : StudentModel<float>::bytes_per_slot(settings, shared_problem);
  footprint.shared_bytes = wide ? StudentModel<double>::shared_bytes(settings, shared_problem)
                                : StudentModel<float>::shared_bytes(settings, shared_problem);
  // 1.a, a.a*, then dl/da; ||v||^2, v.w*, what v has beside w*, then dl/dv; scalars with one angle.
  footprint.flops_per_step =
      7 * static_cast<double>(shape.patches) + 11 * static_cast<double>(shape.filter) + 60;
  footprint.parameters = shape.parameters();
  return footprint;
}

std::vector<std::int64_t> extents(const Settings& settings, const ProbeKind& kind) {
  if (kind.extents.empty()) return {};
  return {shape_of(settings).parameters()};
}

std::vector<ParameterArray> arrays(const Settings& settings) {
  const Shape shape = shape_of(settings);
  return {{"v", {1, shape.filter}}, {"a", {1, shape.patches}}};
}

std::vector<DrawnArray> drawn(const Settings& settings) {
  const Shape shape = shape_of(settings);
  const Problem problem = make_problem(settings);
  const std::vector<double> values = start(settings, problem);
  const auto middle = values.begin() + shape.filter;
  const auto array = [](std::string name, std::string doc, std::vector<double> entries) {
    const auto count = static_cast<std::int64_t>(entries.size());
    return DrawnArray{std::move(name),
                      std::move(doc),
                      {.shape = {count}, .values = std::move(entries), .type = "f8"}};
  };
  return {array("w_star", "w*, the teacher's filter", problem.w),
          array("a_star", "a*, the teacher's output weights", problem.a),
          array("spurious", "the output weights of the spurious end point", spurious_end(problem)),
          array("start", "all initial parameters, v first", values),
          array("v", "the initial filter", {values.begin(), middle}),
          array("a", "the initial output weights", {middle, values.end()})};
}

std::unique_ptr<Model> make(Executor& executor, const Settings& example, std::int64_t slots,
                            bool shared_problem, kernels::WorkSlots&) {
  return make_model<StudentModel>(executor, example, slots, shared_problem);
}

}  // namespace
}  // namespace teacher

const ModelKind& teacher_kind() {
  static const ModelKind kind{
      .names = {teacher::model_name},
      .decays = false,
      .add_keys = teacher::add_keys,
      .probes = teacher::probe_kinds,
      .validate = teacher::validate,
      .shape_key = teacher::shape_key,
      .problem_key = teacher::problem_key,
      .check_problem = [](const Settings& s) { (void)teacher::make_problem(s); },
      .footprint = teacher::footprint,
      .extents = teacher::extents,
      .make = teacher::make,
      .arrays = teacher::arrays,
      .drawn = teacher::drawn};
  return kind;
}

}  // namespace manyfold
