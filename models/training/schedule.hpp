// Schedules: tables [schedule.NAME] that vary the hyperparameter whose key ends in NAME while a
// member trains. What a kind's value at a step is, exactly: kernels/schedule.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "kernels/schedule.hpp"

namespace manyfold {

/// Keys of [schedule.NAME] for learning_rate, for each name that an optimizer's `scheduled` lists
/// (legal with those optimizers alone), and for the objective's penalties.
void add_schedule_keys(Spec& spec);

/// Rejects lists of different lengths, steps out of order, values that the hyperparameter itself
/// could not have (zero is legal where it asks for a positive number: a rate may fade to nothing),
/// and a schedule of what the member does not have. Throws InputError.
void validate_schedules(const Settings& settings);

/// Pieces of a schedule of `key` ("optimizer.learning_rate") that this member's family has room
/// for: a power of two, at least 4, so that few families differ by it; 0 without a schedule.
std::int64_t schedule_capacity(const Settings& settings, std::string_view key);

/// What the member's schedules say about its family, to be appended to the family's description:
/// "" or ", learning_rate scheduled in up to 4 pieces". Members with and without a schedule for a
/// key are in different families, so that nothing is recorded for those without.
std::string schedule_family(const Settings& settings);

/// A member's schedule as the device follows it: starts and values of its pieces, if it has any.
struct MemberSchedule {
  kernels::Schedule schedule;
  std::vector<std::int64_t> starts;
  std::vector<double> values;
};
/// `absent` is the base value of a member that has no `key`.
MemberSchedule schedule_of(const Settings& settings, std::string_view key, double absent);

}  // namespace manyfold
