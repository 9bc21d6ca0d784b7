// One line that tells how a long run is doing: members done, steps per second, time left:
//
//   120 of 500 members, 24 %, 12.3 M member-steps/s, at most 2 min 05 s left, wave 1 of 3, batched
//
// On a terminal it is redrawn in place, four times a second at most; elsewhere a line every ten
// seconds. The rate is that of the last ten seconds; the time left takes it as constant and no
// member as stopping early.
#pragma once

#include <cstdint>
#include <cstdio>
#include <deque>
#include <memory>
#include <string>

namespace manyfold {

struct ProgressState {
  std::int64_t members_done = 0;
  std::int64_t members = 0;
  std::int64_t member_steps = 0;        ///< done so far, all members
  std::int64_t member_steps_total = 0;  ///< at most: members may stop early
  std::string phase{};                  ///< "wave 2 of 3, batched, cpu"
};

class Progress {
 public:
  /// Writes to `out` (standard error), or nowhere when `quiet`.
  Progress(std::FILE* out, bool quiet);
  ~Progress();
  /// Cheap enough to be called for every step of every wave. Never throws for a failed write.
  void update(const ProgressState& state);
  /// Clears the line (terminal) or prints the last one.
  void finish(const ProgressState& state);

 private:
  struct Line;
  std::unique_ptr<Line> line_;
};

/// A count per second over the last `window` seconds of what was added.
class MovingRate {
 public:
  explicit MovingRate(double window = 10.0) : window_(window) {}
  /// `seconds` must not decrease. A count that decreases starts the window anew.
  void add(double seconds, std::int64_t count);
  /// 0 until two times are known.
  double per_second() const;

 private:
  struct Point {
    double seconds;
    std::int64_t count;
  };
  double window_;
  std::deque<Point> points_;
};

/// The line, without newline. A rate of 0 (or less, or not finite) is not known and leaves out the
/// rate and the time left.
std::string progress_text(const ProgressState& state, double member_steps_per_second);

/// Three digits and a prefix: 0.0123, 7.25, 999, 12.3 k, 1.00 M, 45.6 G, ... "unknown" if not
/// finite.
std::string human_count(double value);

/// The two largest units: "0 s", "59 s", "2 min 05 s", "3 h 07 min", "12 d 4 h".
std::string human_duration(double seconds);

}  // namespace manyfold
