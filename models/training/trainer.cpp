// The loop over samples. The device is always a stretch of steps ahead of the host: a look is
// queued, then the steps to the next look, and only then does the host read the look before.
#include "models/training/trainer.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "core/executor/range.hpp"
#include "models/training/ensemble.hpp"

namespace manyfold {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// What a reason that the device found is called in the record.
struct Ending {
  MemberStatus status;
  const char* reason;
};
Ending ending(std::int32_t reason) {
  switch (static_cast<kernels::StopReason>(reason)) {
    case kernels::StopReason::steps:
      return {MemberStatus::finished, "steps"};
    case kernels::StopReason::train_loss:
      return {MemberStatus::converged, "train_loss"};
    case kernels::StopReason::grad_norm:
      return {MemberStatus::converged, "grad_norm"};
    case kernels::StopReason::non_finite:
      return {MemberStatus::diverged, "not finite"};
    case kernels::StopReason::divergence:
      return {MemberStatus::diverged, "above stop.divergence"};
    case kernels::StopReason::none:
      break;
  }
  return {MemberStatus::interrupted, "interrupted"};
}

/// Steps between two looks where no sample is due: long enough to cost nothing, short enough that
/// progress shows and an interruption is heard soon.
class Heartbeat {
 public:
  explicit Heartbeat(std::int64_t check_every)
      : granule_(check_every <= longest_granule ? check_every : 1),
        steps_(std::min(check_every, longest_granule)) {}
  std::int64_t steps() const { return steps_; }
  void learn(std::int64_t steps_taken, double seconds) {
    constexpr double target = 0.2;
    if (steps_taken < steps_) return;  // a sample came first: says nothing about a full stretch
    const double wanted = static_cast<double>(steps_taken) * target / std::max(seconds, 1e-6);
    const double bounded =
        std::clamp(wanted, 0.5 * static_cast<double>(steps_), 4.0 * static_cast<double>(steps_));
    steps_ = std::max(granule_, static_cast<std::int64_t>(bounded) / granule_ * granule_);
  }

 private:
  /// Whole blocks of steps between two checks replay best, but a block must not outlast a signal.
  static constexpr std::int64_t longest_granule = 200;
  std::int64_t granule_;
  std::int64_t steps_;
};

class Run {
 public:
  Run(const Experiment& experiment, const Plan& plan, const RunContext& context)
      : experiment_(experiment), plan_(plan), context_(context), start_(Clock::now()) {
    int index = 0;
    for (const ProbeRequest& probe : plan.probes.probes) {
      Variables variables;
      if (probe.cadence >= 0 && !probe.kind.is_parameters) variables.sampled = index++;
      for (std::size_t w = 0; w < probe.watches.size(); ++w) variables.watched.push_back(index++);
      variables_.push_back(variables);
    }
    finite_variable_ = index;
    // A measured gap costs a few microseconds, a replay at least ten: one in 256 is well below 1 %.
    if (context.profile) context.executor.measure_gaps(256);
  }

  RunSummary run() {
    progress();
    {
      const Range range(context_.executor, experiment_.base().text("name"));
      for (std::size_t f = 0; f < plan_.families.size() && !stopping(); ++f) run_family(f);
    }
    summary_.seconds = seconds_since(start_);
    if (context_.profile) {
      // On a CPU host and device are one, so what the host records is time the device waits.
      const bool beside = context_.executor.device().kind != "cpu";
      profile_.idle = std::max(0.0, summary_.seconds - profile_.load - profile_.step -
                                        profile_.probes - (beside ? 0.0 : profile_.record));
      profile_.gaps = context_.executor.gaps();
      summary_.profile = profile_;
    }
    summary_.interrupted = stopping();
    std::int64_t ended = 0;
    for (const auto& [status, count] : summary_.members) ended += count;
    if (plan_.layout.members > ended) {
      summary_.members[MemberStatus::pending] = plan_.layout.members - ended;
    }
    context_.progress.finish(progress_);
    return summary_;
  }

 private:
  /// Indices into the record's variables.
  struct Variables {
    int sampled = -1;
    std::vector<int> watched;
  };

  bool stopping() const { return context_.stop.load(std::memory_order_relaxed); }

  void run_family(std::size_t index) {
    const FamilyPlan& family = plan_.families[index];
    const Settings example = experiment_.member(family.members.front());
    const Range range(context_.executor, family.description);
    Ensemble ensemble(context_.executor, example, family, plan_.probes, plan_.check_every);
    for (std::int64_t wave = 0; wave < family.waves && !stopping(); ++wave) {
      const auto begin = static_cast<std::size_t>(wave * family.slots);
      const auto end =
          std::min(family.members.size(), begin + static_cast<std::size_t>(family.slots));
      const std::span members = std::span(family.members).subspan(begin, end - begin);
      progress_.phase = fmt::format("family {}/{}", index + 1, plan_.families.size());
      if (family.waves > 1) progress_.phase += fmt::format(", wave {}/{}", wave + 1, family.waves);
      context_.events.info(
          "wave_started",
          fmt::format("{}: {} members, {} slots", family.description, members.size(), family.slots),
          {{"family", family.description},
           {"wave", wave},
           {"members", static_cast<std::int64_t>(members.size())}});
      run_wave(ensemble, family, members);
    }
  }

  void run_wave(Ensemble& ensemble, const FamilyPlan& family,
                std::span<const std::int64_t> members) {
    std::vector<Settings> settings;
    settings.reserve(members.size());
    std::int64_t last = 0;
    for (const std::int64_t m : members) {
      settings.push_back(experiment_.member(m));
      last = std::max(last, settings.back().integer("stop.steps"));
    }
    const auto loading = Clock::now();
    {
      const Range range(context_.executor, "load");
      ensemble.load(settings);
    }
    profile_.load += seconds_since(loading);

    const auto& cadences = plan_.layout.cadences;
    Wave wave{.ensemble = ensemble,
              .family = family,
              .members = members,
              .ended = std::vector<bool>(members.size(), false),
              .steps_seen = std::vector<std::int64_t>(members.size(), 0),
              .next = std::vector<std::size_t>(cadences.size(), 0)};
    Heartbeat heartbeat(plan_.check_every);
    std::optional<Ensemble::Look> before;
    Stretch stretch;
    std::optional<Stretch> stretch_before;
    std::int64_t position = 0;
    for (;;) {
      std::vector<int> due;
      std::int64_t target = std::min(last, position + heartbeat.steps());
      for (std::size_t c = 0; c < cadences.size(); ++c) {
        const auto& steps = cadences[c].steps;
        std::size_t next = wave.next_to_look(c);
        if (next < steps.size() && steps[next] == position) {
          due.push_back(static_cast<int>(c));
          ++next;
        }
        if (next < steps.size()) target = std::min(target, std::max(steps[next], position));
      }
      const auto began = Clock::now();
      if (context_.profile) stretch.began = context_.executor.moment();
      Ensemble::Look look = [&] {
        const Range range(context_.executor, "probe");
        return ensemble.look(position, due);
      }();
      wave.looked(due);
      if (context_.profile) stretch.looked = context_.executor.moment();
      if (position < last) {
        const Range range(context_.executor, "step");
        ensemble.advance(position, target);
      }
      if (context_.profile) stretch.stepped = context_.executor.moment();
      if (before) take(wave, *before);
      if (context_.profile) {
        if (stretch_before) count(*stretch_before);
        stretch_before = stretch;
      }
      heartbeat.learn(target - position, seconds_since(began));
      before = look;
      const bool finished = position == last;
      position = target;
      if (finished || wave.live == 0 || stopping()) break;
    }
    take(wave, *before);
    if (stretch_before) count(*stretch_before);
    take_last(wave, position);
    finish(wave);
  }

  struct Wave {
    Ensemble& ensemble;
    const FamilyPlan& family;
    std::span<const std::int64_t> members;
    std::vector<bool> ended;
    std::vector<std::int64_t> steps_seen;  ///< per slot, for counting member-steps
    std::vector<std::size_t> next;         ///< per cadence: index of the next sample to be read
    std::vector<std::size_t> pending{};    ///< per cadence: looks queued but not read
    std::int64_t live = -1;                ///< active slots at the last look read; -1: none yet

    std::size_t next_to_look(std::size_t c) const {
      return next[c] + (pending.empty() ? 0 : pending[c]);
    }
    void looked(const std::vector<int>& due) {
      if (pending.empty()) pending.assign(next.size(), 0);
      for (const int c : due) ++pending[static_cast<std::size_t>(c)];
    }
  };

  /// Moments of one pass of the loop, read a pass later so that nothing waits for them.
  struct Stretch {
    Moment began;
    Moment looked;
    Moment stepped;
  };
  void count(const Stretch& stretch) {
    profile_.probes += context_.executor.seconds_between(stretch.began, stretch.looked);
    profile_.step += context_.executor.seconds_between(stretch.looked, stretch.stepped);
  }

  /// Reads a look: logs its samples and the members that ended since the one before.
  void take(Wave& wave, const Ensemble::Look& look) {
    wave.ensemble.await(look);
    const Range range(context_.executor, "record");
    const auto recording = Clock::now();
    const ControlView control = wave.ensemble.control(look);
    for (const int c : look.cadences) {
      log_samples(wave, look, c, control);
      ++wave.next[static_cast<std::size_t>(c)];
      --wave.pending[static_cast<std::size_t>(c)];
    }
    std::vector<MemberEnd> ends;
    wave.live = 0;
    for (std::size_t slot = 0; slot < wave.members.size(); ++slot) {
      const std::int64_t steps = control.step[slot];
      summary_.member_steps += steps - wave.steps_seen[slot];
      wave.steps_seen[slot] = steps;
      if (control.active[slot] != 0) {
        ++wave.live;
      } else if (!wave.ended[slot]) {
        wave.ended[slot] = true;
        const Ending how = ending(control.reason[slot]);
        ends.push_back({wave.members[slot], how.status, steps, how.reason});
      }
    }
    record(ends);
    profile_.record += seconds_since(recording);
    progress();
  }

  /// Samples that the loop left: if all members ended before the next ones were due, those show the
  /// members' last states; after an interruption, those that are due just where the members stand.
  void take_last(Wave& wave, std::int64_t position) {
    std::vector<int> due;
    for (std::size_t c = 0; c < wave.next.size(); ++c) {
      const auto& steps = plan_.layout.cadences[c].steps;
      if (wave.next[c] >= steps.size()) continue;
      if (wave.live == 0 || steps[wave.next[c]] == position) due.push_back(static_cast<int>(c));
    }
    if (due.empty()) return;
    const Ensemble::Look look = wave.ensemble.look(position, due);
    wave.looked(due);
    take(wave, look);
  }

  void log_samples(const Wave& wave, const Ensemble::Look& look, int cadence,
                   const ControlView& control) {
    const auto c = static_cast<std::size_t>(cadence);
    const auto& steps = plan_.layout.cadences[c].steps;
    const std::size_t sample = wave.next[c];
    // A member that ended at or before the sample before this one has shown its last state there.
    std::vector<std::size_t> slots;
    std::vector<std::int64_t> numbers;
    for (std::size_t slot = 0; slot < wave.members.size(); ++slot) {
      if (sample == 0 || control.step[slot] > steps[sample - 1]) {
        slots.push_back(slot);
        numbers.push_back(wave.members[slot]);
      }
    }
    if (slots.empty()) return;
    const double* values = wave.ensemble.values(look, cadence);
    const auto width = static_cast<std::size_t>(wave.ensemble.width(cadence));
    std::vector<double> block;
    auto log = [&](int variable, std::int64_t offset, std::span<const std::int64_t> extents) {
      std::int64_t count = 1;
      for (const std::int64_t extent : extents) count *= extent;
      block.clear();
      for (const std::size_t slot : slots) {
        const double* from = values + slot * width + offset;
        block.insert(block.end(), from, from + count);
      }
      append(variable, extents, static_cast<std::int64_t>(sample), numbers, block);
    };
    for (const Ensemble::Place& place : wave.ensemble.places(cadence)) {
      const auto probe = static_cast<std::size_t>(place.probe);
      if (!plan_.probes.probes[probe].kind.is_parameters) {
        log(variables_[probe].sampled, place.offset, place.extents);
        continue;
      }
      std::int64_t offset = place.offset;
      int variable = wave.family.first_array;
      for (const ParameterArray& array : wave.family.arrays) {
        log(variable++, offset, array.shape);
        offset += array.shape[0] * array.shape[1];
      }
    }
  }

  void append(int variable, std::span<const std::int64_t> extents, std::int64_t sample,
              std::span<const std::int64_t> numbers, std::span<const double> block) {
    context_.log.append(SampleBlock{.variable = variable,
                                    .sample = sample,
                                    .members = numbers,
                                    .extents = extents,
                                    .values = block});
  }

  /// What is known once a member: watches and last finite values.
  void finish(Wave& wave) {
    const std::vector<double> watched = wave.ensemble.watched();
    const auto width = static_cast<std::size_t>(wave.ensemble.watched_width());
    std::vector<double> block;
    for (const Ensemble::Place& place : wave.ensemble.watched_places()) {
      block.clear();
      for (std::size_t slot = 0; slot < wave.members.size(); ++slot) {
        const auto from =
            watched.begin() + static_cast<std::ptrdiff_t>(slot * width) + place.offset;
        block.insert(block.end(), from, from + place.width);
      }
      append(variables_[static_cast<std::size_t>(place.probe)]
                 .watched[static_cast<std::size_t>(place.watch)],
             place.extents, 0, wave.members, block);
    }

    const Ensemble::Look look = wave.ensemble.look(0, {});
    wave.ensemble.await(look);
    const ControlView control = wave.ensemble.control(look);
    std::array<std::vector<double>, 3> finite;
    std::vector<MemberEnd> interrupted;
    for (std::size_t slot = 0; slot < wave.members.size(); ++slot) {
      const bool seen = control.finite_step[slot] >= 0;
      finite[0].push_back(seen ? static_cast<double>(control.finite_step[slot])
                               : std::numeric_limits<double>::quiet_NaN());
      finite[1].push_back(control.finite_train_loss[slot]);
      finite[2].push_back(control.finite_grad_norm[slot]);
      summary_.member_steps += control.step[slot] - wave.steps_seen[slot];
      if (wave.ended[slot]) continue;
      const Ending how = ending(control.reason[slot]);
      interrupted.push_back({wave.members[slot], how.status, control.step[slot], how.reason});
    }
    for (std::size_t i = 0; i < finite.size(); ++i) {
      context_.log.append(SampleBlock{.variable = finite_variable_ + static_cast<int>(i),
                                      .sample = 0,
                                      .members = wave.members,
                                      .extents = {},
                                      .values = finite[i]});
    }
    record(interrupted);
  }

  void record(const std::vector<MemberEnd>& ends) {
    if (ends.empty()) return;
    context_.log.append(ends);
    for (const MemberEnd& end : ends) {
      ++summary_.members[end.status];
      ++progress_.members_done;
      if (end.status == MemberStatus::diverged) {
        context_.events.info("member_diverged",
                             fmt::format("member {} diverged at step {}: {}", end.member,
                                         end.end_step, end.end_reason),
                             {{"member", end.member}, {"step", end.end_step}});
      }
    }
  }

  void progress() {
    progress_.members = plan_.layout.members;
    progress_.member_steps = summary_.member_steps;
    progress_.member_steps_total = plan_.member_steps;
    context_.progress.update(progress_);
  }

  const Experiment& experiment_;
  const Plan& plan_;
  const RunContext& context_;
  Clock::time_point start_;
  std::vector<Variables> variables_;
  int finite_variable_ = 0;
  RunSummary summary_;
  Profile profile_;
  ProgressState progress_;
};

}  // namespace

RunSummary run_experiment(const Experiment& experiment, const Plan& plan,
                          const RunContext& context) {
  return Run(experiment, plan, context).run();
}

}  // namespace manyfold
