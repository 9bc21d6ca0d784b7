// Draws starts on the host, so that every device begins from the same bits.
#include "models/teacher/start.hpp"

#include <cmath>
#include <cstdint>

#include "core/random/philox.hpp"
#include "models/training/model.hpp"

namespace manyfold::teacher {
namespace {

/// Uniform on the sphere of that radius: draw i of the stream is entry i before it is scaled.
void append_on_sphere(std::vector<double>& to, std::size_t count, std::uint64_t seed,
                      std::uint64_t stream, double radius) {
  const std::size_t first = to.size();
  double square = 0;
  for (std::size_t i = 0; i < count; ++i) {
    to.push_back(normal_double(seed, stream, i));
    square += to.back() * to.back();
  }
  const double factor = radius / std::sqrt(square);
  for (std::size_t i = first; i < to.size(); ++i) to[i] *= factor;
}

}  // namespace

void add_start_keys(Spec& spec) {
  const std::vector<Condition> for_teachers{{"model.kind", {model_name}}};
  spec.add(
      {.path = "init.signs",
       .type = Type::text,
       .doc = "Signs of the drawn v and a of a student: theorem 5.4's four trials from one seed.",
       .default_value = std::string("++"),
       .choices = {"++", "+-", "-+", "--"},
       .when = for_teachers});
  spec.add({.path = "init.zero_sum_radius",
            .type = Type::number,
            .doc = "Radius of the ball of a student's a where teacher.ratio = 0; elsewhere it is "
                   "|1.a*| / sqrt(k) (theorem 5.4).",
            .default_value = 0.0,
            .min = 0,
            .when = for_teachers});
}

std::vector<double> start(const Settings& settings, const Problem& problem) {
  const std::uint64_t seed = seed_of(settings, "init.seed");
  const std::string& signs = settings.text("init.signs");
  const auto patches = static_cast<double>(problem.a.size());
  // From the key, not from the sum of a*, which is 0 up to rounding only.
  const double ratio = settings.number("teacher.ratio");
  const double radius =
      ratio == 0 ? settings.number("init.zero_sum_radius") : std::sqrt(ratio / patches);
  const double u = uniform_double(seed, random_stream("init/ball/a"), 0);
  std::vector<double> values;
  append_on_sphere(values, problem.w.size(), seed, random_stream("init/v"),
                   signs[0] == '+' ? 1.0 : -1.0);
  append_on_sphere(values, problem.a.size(), seed, random_stream("init/a"),
                   (signs[1] == '+' ? 1.0 : -1.0) * radius * std::pow(u, 1 / patches));
  return values;
}

}  // namespace manyfold::teacher
