#include "kernels/teacher.hpp"

#include <cmath>
#include <cstdint>
#include <numbers>
#include <stdexcept>
#include <vector>

#include "kernels/common/teacher.hpp"
#include "tests/kernels/devices.hpp"
#include "tests/kernels/step_control.hpp"

namespace manyfold::kernels {
namespace {

using namespace manyfold::test;
using Wide = long double;
constexpr Wide wide_pi = std::numbers::pi_v<Wide>;

TEST(TeacherFormulas, AcuteAngleIsWithinTwoUnitsOfTheLastPlace) {
  // Small, large, and around the bounds of the three pieces.
  std::vector<double> angles{0x1p-1000, 1e-300, 1e-9, 1e-6};
  for (int i = 1; i < 20000; ++i) angles.push_back(i * std::numbers::pi / 40000);
  for (const double angle : angles) {
    for (const double radius : {1.0, 1e-3, 7.7e5}) {
      const double sine = radius * std::sin(angle);
      const double cosine = radius * std::cos(angle);
      const Wide expected = std::atan2(static_cast<Wide>(sine), static_cast<Wide>(cosine));
      EXPECT_NEAR(acute_angle(sine, cosine), static_cast<double>(expected),
                  2 * epsilon<double>() * static_cast<double>(expected))
          << angle;
    }
  }
  EXPECT_EQ(acute_angle(0, 3), 0);
  EXPECT_EQ(acute_angle(3, 0), std::numbers::pi / 2);
  EXPECT_EQ(acute_angle(3, 3), std::numbers::pi / 4);
}

/// One slot's student and teacher, widened.
struct Pair {
  std::vector<Wide> v, a, w, a_star;

  static Wide dot(const std::vector<Wide>& x, const std::vector<Wide>& y) {
    Wide sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
    return sum;
  }
  static Wide total(const std::vector<Wide>& x) {
    Wide sum = 0;
    for (const Wide one : x) sum += one;
    return sum;
  }
  Wide norm() const { return std::sqrt(dot(v, v)); }
  Wide phi() const {
    std::vector<Wide> beside = v;
    for (std::size_t i = 0; i < v.size(); ++i) beside[i] -= dot(v, w) * w[i];
    return std::atan2(std::sqrt(dot(beside, beside)), dot(v, w));
  }
  Wide g() const { return (wide_pi - phi()) * std::cos(phi()) + std::sin(phi()); }
  /// As the expectation expands: a^T A a + a*^T A a* - 2 a^T B a*, A = 1 1^T + (pi - 1) I, B = 1
  /// 1^T
  /// + (g - 1) I, over 4 pi.
  Wide loss() const {
    const auto form = [&](const auto& x, const auto& y, Wide diagonal) {
      return total(x) * total(y) + (diagonal - 1) * dot(x, y);
    };
    return (form(a, a, wide_pi) + form(a_star, a_star, wide_pi) - 2 * form(a, a_star, g())) /
           (4 * wide_pi);
  }
  /// dl/dv, then dl/da, of theorem 5.2.
  std::vector<Wide> gradient() const {
    std::vector<Wide> all;
    const Wide pull = dot(a, a_star) * (wide_pi - phi()) / (2 * wide_pi * norm());
    for (std::size_t i = 0; i < v.size(); ++i) {
      all.push_back(-pull * (w[i] - v[i] * dot(v, w) / dot(v, v)));
    }
    for (std::size_t i = 0; i < a.size(); ++i) {
      all.push_back((total(a) + (wide_pi - 1) * a[i] - total(a_star) - (g() - 1) * a_star[i]) /
                    (2 * wide_pi));
    }
    return all;
  }
};

class TeacherKernels : public DeviceTest {
 protected:
  /// Random students and teachers on the device, with gaps behind each slot.
  template <class T>
  struct Batch {
    std::int64_t slots, p, k;
    bool shared;
    std::vector<T> student, teacher;
    std::vector<double> sum;
    Buffer<T> on_student, on_teacher, gradient;
    Buffer<double> on_sum;

    Batch(Executor& executor, std::int64_t slots_, std::int64_t p_, std::int64_t k_, bool shared_)
        : slots(slots_), p(p_), k(k_), shared(shared_) {
      std::mt19937_64 random(test_seed());
      student = random_vector<T>(slots * stride(), random);
      teacher = random_vector<T>((shared ? 1 : slots) * stride(), random);
      for (std::int64_t s = 0; s < (shared ? 1 : slots); ++s) {
        double norm2 = 0;
        for (std::int64_t i = 0; i < p; ++i) norm2 += std::pow(teacher[at(s, i)], 2);
        for (std::int64_t i = 0; i < p; ++i) {
          teacher[at(s, i)] = static_cast<T>(teacher[at(s, i)] / std::sqrt(norm2));
        }
      }
      sum.resize(static_cast<std::size_t>(slots));
      for (std::int64_t s = 0; s < slots; ++s) {
        for (std::int64_t i = 0; i < k; ++i) sum[at(0, s)] += teacher[at(owner(s), p + i)];
      }
      upload(executor);
    }
    void upload(Executor& executor) {
      on_student = to_device(executor, student);
      on_teacher = to_device(executor, teacher);
      on_sum = to_device(executor, sum);
      gradient = to_device(executor, poisoned<T>(slots * stride()));
    }
    std::int64_t stride() const { return p + k + 3; }
    std::int64_t owner(std::int64_t slot) const { return shared ? 0 : slot; }
    std::size_t at(std::int64_t slot, std::int64_t i) const {
      return static_cast<std::size_t>(slot * stride() + i);
    }
    Students<T> students() const {
      return {{on_student.data(), slots, p, stride()}, {on_student.data() + p, slots, k, stride()}};
    }
    Teachers<T> teachers() const {
      const std::int64_t apart = shared ? 0 : stride();
      return {{on_teacher.data(), slots, p, apart},
              {on_teacher.data() + p, slots, k, apart},
              on_sum.data()};
    }
    TeacherGradientArgs<T> args(double* loss) const {
      return {students(),
              teachers(),
              {gradient.data(), slots, p, stride()},
              {gradient.data() + p, slots, k, stride()},
              loss};
    }
    Pair pair(std::int64_t slot) const {
      Pair pair;
      for (std::int64_t i = 0; i < p + k; ++i) {
        (i < p ? pair.v : pair.a).push_back(student[at(slot, i)]);
        (i < p ? pair.w : pair.a_star).push_back(teacher[at(owner(slot), i)]);
      }
      return pair;
    }
  };

  template <class T>
  void check_gradient(std::int64_t p, std::int64_t k, bool shared) {
    const std::int64_t slots = enough_slots(5, p + k);
    Batch<T> batch(executor(), slots, p, k, shared);
    const auto loss = to_device(executor(), poisoned<double>(slots));
    teacher_gradient(executor(), batch.args(loss.data()));
    const auto gradient = batch.gradient.download();
    const auto losses = loss.download();
    teacher_gradient(executor(), batch.args(nullptr));
    EXPECT_EQ(bits(batch.gradient.download()), bits(gradient)) << "without the loss";
    std::mt19937_64 random(test_seed());
    for (const std::int64_t slot : some_slots(slots, random)) {
      const Pair pair = batch.pair(slot);
      const std::vector<Wide> expected = pair.gradient();
      Wide size = 1;  // of the terms that are added
      for (const auto* part : {&pair.a, &pair.a_star}) size += Pair::dot(*part, *part);
      size *= static_cast<Wide>(p + k) * (1 + 1 / pair.norm());
      // w* is of length 1 up to a rounding of T; the terms of sums of p + k, each rounded, in
      // double.
      const auto bound = static_cast<double>(size) * (8 * epsilon<double>() + 4 * epsilon<T>());
      for (std::int64_t i = 0; i < batch.stride(); ++i) {
        const T found = gradient[batch.at(slot, i)];
        if (i >= p + k) {
          EXPECT_TRUE(std::isnan(found)) << "wrote between slots";
          continue;
        }
        EXPECT_NEAR(found, static_cast<double>(expected[static_cast<std::size_t>(i)]), bound)
            << p << " " << k << " slot " << slot << " element " << i;
      }
      EXPECT_NEAR(losses[static_cast<std::size_t>(slot)], static_cast<double>(pair.loss()), bound);
    }
  }
};

TEST_P(TeacherKernels, GradientAndLossMatchPlainLoops) {
  for (const bool shared : {false, true}) {
    for (const auto& [p, k] : std::vector<std::pair<std::int64_t, std::int64_t>>{
             {1, 1}, {2, 7}, {6, 25}, {6, 100}, {25, 20}, {33, 65}}) {
      check_gradient<double>(p, k, shared);
      check_gradient<float>(p, k, shared);
    }
  }
}

TEST_P(TeacherKernels, DistancesMatchPlainLoops) {
  Batch<double> batch(executor(), 7, 6, 33, false);
  constexpr std::int64_t stride = 2;
  for (const auto what : {TeacherDistance::angle, TeacherDistance::a, TeacherDistance::sum}) {
    const auto out = to_device(executor(), poisoned<double>(7 * stride));
    teacher_distance(executor(), TeacherDistanceArgs<double>{batch.students(), batch.teachers(),
                                                             what, out.data(), stride});
    const auto found = out.download();
    for (std::int64_t slot = 0; slot < 7; ++slot) {
      const Pair pair = batch.pair(slot);
      std::vector<Wide> e = pair.a;
      for (std::size_t i = 0; i < e.size(); ++i) e[i] -= pair.a_star[i];
      const Wide expected = what == TeacherDistance::angle ? pair.phi()
                            : what == TeacherDistance::a   ? std::sqrt(Pair::dot(e, e))
                                                           : std::abs(Pair::total(e));
      EXPECT_NEAR(found[batch.at(0, stride * slot)], static_cast<double>(expected), 1e-13);
      EXPECT_TRUE(std::isnan(found[batch.at(0, stride * slot + 1)]));
    }
  }
}

TEST_P(TeacherKernels, SmallAnglesAreAsExactAsTheParametersThatMakeThem) {
  // v = +-2 (cos t, sin t) against w* = (1, 0): phi = t, or pi - t. What an arc cosine makes of the
  // first is off by more than 1e-9 of itself from t = 1e-4 on down.
  for (const double t : {1e-3, 1e-6, 1e-9, 1e-12}) {
    Batch<double> batch(executor(), 2, 2, 3, true);
    for (const std::int64_t slot : {0, 1}) {
      const double sign = slot == 0 ? 1 : -1;
      batch.student[batch.at(slot, 0)] = sign * 2 * std::cos(t);
      batch.student[batch.at(slot, 1)] = sign * 2 * std::sin(t);
    }
    batch.teacher[0] = 1;
    batch.teacher[1] = 0;
    batch.upload(executor());
    const auto out = to_device(executor(), poisoned<double>(2));
    teacher_distance(executor(),
                     TeacherDistanceArgs<double>{batch.students(), batch.teachers(),
                                                 TeacherDistance::angle, out.data(), 1});
    const auto found = out.download();
    EXPECT_NEAR(found[0], t, 4 * epsilon<double>() * t);
    EXPECT_NEAR(found[1], std::numbers::pi - t, 4 * epsilon<double>());
  }
}

TEST_P(TeacherKernels, NanStaysInItsSlot) {
  Batch<double> batch(executor(), 3, 4, 5, true);
  batch.student[batch.at(1, 6)] = std::numeric_limits<double>::quiet_NaN();
  batch.upload(executor());
  const auto loss = to_device(executor(), poisoned<double>(3));
  teacher_gradient(executor(), batch.args(loss.data()));
  const auto found = loss.download();
  EXPECT_TRUE(std::isfinite(found[0]) && std::isnan(found[1]) && std::isfinite(found[2]));
}

TEST_P(TeacherKernels, CheckEndsMembersAtTheTwoPointsAndNowhereElse) {
  struct Case {
    const char* what;
    double off_a;        ///< from the end point, in one entry of a
    double off_angle;    ///< from 0, or from pi
    bool spurious;       ///< which end point
    double tolerance_a;  ///< the same for both points
    double tolerance_angle;
    bool active;
    StopReason reason;
  };
  const std::vector<Case> cases{
      {"at the teacher", 0, 0, false, 1e-6, 1e-6, true, StopReason::global_minimum},
      {"near the teacher", 9e-7, 9e-7, false, 1e-6, 1e-6, true, StopReason::global_minimum},
      {"a is off", 2e-6, 0, false, 1e-6, 1e-6, true, StopReason::none},
      {"the angle is off", 0, 2e-6, false, 1e-6, 1e-6, true, StopReason::none},
      {"at the spurious point", 0, 0, true, 1e-6, 1e-6, true, StopReason::spurious},
      {"near the spurious point", 9e-7, 0.019, true, 1e-6, 0.02, true, StopReason::spurious},
      {"a is off there", 2e-6, 0.019, true, 1e-6, 0.02, true, StopReason::none},
      {"the angle is off there", 9e-7, 0.021, true, 1e-6, 0.02, true, StopReason::none},
      {"never", 0, 0, false, -1, -1, true, StopReason::none},
      {"never there", 0, 0, true, -1, -1, true, StopReason::none},
      {"inactive", 0, 0, false, 1e-6, 1e-6, false, StopReason::none},
  };
  const auto slots = static_cast<std::int64_t>(cases.size());
  Batch<double> batch(executor(), slots, 2, 5, true);
  batch.teacher[0] = 1;
  batch.teacher[1] = 0;
  const Pair teacher = batch.pair(0);
  // (1 1^T + (pi - 1) I) s = (1 1^T - I) a*, solved here by its sum: (k + pi - 1) 1.s = (k -
  // 1) 1.a*.
  const Wide sum = Pair::total(teacher.a_star);
  const Wide sum_s = 4 * sum / (5 + wide_pi - 1);
  std::vector<std::int32_t> active;
  std::vector<double> tolerance_a;
  std::vector<double> tolerance_angle;
  for (std::int64_t slot = 0; slot < slots; ++slot) {
    const Case& one = cases[static_cast<std::size_t>(slot)];
    const double turn = one.spurious ? -3.0 : 3.0;
    batch.student[batch.at(slot, 0)] = turn * std::cos(one.off_angle);
    batch.student[batch.at(slot, 1)] = turn * std::sin(one.off_angle);
    for (std::int64_t i = 0; i < 5; ++i) {
      const Wide star = teacher.a_star[static_cast<std::size_t>(i)];
      const Wide end = one.spurious ? (sum - star - sum_s) / (wide_pi - 1) : star;
      batch.student[batch.at(slot, 2 + i)] = static_cast<double>(end) + (i == 3 ? one.off_a : 0);
    }
    active.push_back(one.active ? 1 : 0);
    tolerance_a.push_back(one.tolerance_a);
    tolerance_angle.push_back(one.tolerance_angle);
  }
  batch.upload(executor());
  const auto on_active = to_device(executor(), active);
  const auto on_reason = to_device(executor(), std::vector<std::int32_t>(cases.size(), 0));
  StepControl control;
  control.slots = slots;
  control.active = on_active.data();
  control.reason = on_reason.data();
  const auto on_a = to_device(executor(), tolerance_a);
  const auto on_angle = to_device(executor(), tolerance_angle);
  teacher_check(executor(),
                TeacherCheckArgs<double>{control, batch.students(), batch.teachers(), on_a.data(),
                                         on_angle.data(), on_a.data(), on_angle.data()});
  const auto reason = on_reason.download();
  const auto active_after = on_active.download();
  for (std::size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(reason[i], static_cast<std::int32_t>(cases[i].reason)) << cases[i].what;
    EXPECT_EQ(active_after[i], cases[i].active && cases[i].reason == StopReason::none ? 1 : 0)
        << cases[i].what;
  }
}

TEST_P(TeacherKernels, RejectShapesThatDoNotFit) {
  Batch<double> batch(executor(), 3, 4, 5, false);
  auto args = batch.args(nullptr);
  args.teacher.a.count = 4;
  EXPECT_THROW(teacher_gradient(executor(), args), std::invalid_argument) << "a* of 4, a of 5";
  args = batch.args(nullptr);
  args.student.a.slots = 2;
  EXPECT_THROW(teacher_gradient(executor(), args), std::invalid_argument) << "v of 3 slots, a of 2";
  args = batch.args(nullptr);
  args.teacher.w.slots = 2;
  EXPECT_THROW(teacher_gradient(executor(), args), std::invalid_argument) << "w* of 2 slots";
  args = batch.args(nullptr);
  args.grad_a.slot_stride = 4;
  EXPECT_THROW(teacher_gradient(executor(), args), std::invalid_argument) << "slots overlap";
  args = batch.args(nullptr);
  args.teacher.sum = nullptr;
  EXPECT_THROW(teacher_gradient(executor(), args), std::invalid_argument) << "no sum";
  StepControl two;
  two.slots = 2;
  EXPECT_THROW(
      teacher_check(executor(), TeacherCheckArgs<double>{two, batch.students(), batch.teachers()}),
      std::invalid_argument)
      << "control of 2 slots";
}

MANYFOLD_ON_EVERY_DEVICE(TeacherKernels);

}  // namespace
}  // namespace manyfold::kernels
