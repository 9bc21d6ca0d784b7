// Words the progress line and decides when it is worth redrawing.
#include "core/progress/progress.hpp"

#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace manyfold {
namespace {

constexpr double seconds_between_redraws = 0.25;
constexpr double seconds_between_lines = 10.0;
constexpr double seconds_between_rates = 0.25;

bool is_terminal(std::FILE* out) {
  const char* term = std::getenv("TERM");
  return isatty(fileno(out)) != 0 && !(term != nullptr && std::string_view(term) == "dumb");
}

/// Columns of the terminal; 80 where it does not say.
std::size_t columns(std::FILE* out) {
  winsize size{};
  if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

/// At most `width` code points: a line that wraps could not be redrawn in place.
std::string_view cut(std::string_view text, std::size_t width) {
  std::size_t points = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U) continue;  // goes on with a point
    if (points == width) return text.substr(0, i);
    ++points;
  }
  return text;
}

}  // namespace

struct Progress::Line {
  using Clock = std::chrono::steady_clock;

  std::FILE* out;
  bool terminal;
  Clock::time_point start = Clock::now();
  double last_drawn = 0.0;
  double last_rated = -1.0;
  bool drawn = false;
  MovingRate rate{};

  double seconds() const { return std::chrono::duration<double>(Clock::now() - start).count(); }

  void write(const ProgressState& state, bool end_line) {
    const std::string text = progress_text(state, rate.per_second());
    if (terminal) {
      const std::string_view shown = cut(text, columns(out) - 1);
      fmt::memory_buffer line;
      fmt::format_to(std::back_inserter(line), "\r{}\x1b[K{}", shown, end_line ? "\n" : "");
      std::fwrite(line.data(), 1, line.size(), out);
    } else {
      const std::string line = text + "\n";
      std::fwrite(line.data(), 1, line.size(), out);
    }
    std::fflush(out);
    drawn = true;
  }
};

Progress::Progress(std::FILE* out, bool quiet) {
  if (!quiet && out != nullptr)
    line_ = std::make_unique<Line>(Line{.out = out, .terminal = is_terminal(out)});
}

Progress::~Progress() {
  // Left by an exception: what is printed next must not stand on the same line.
  if (line_ && line_->terminal && line_->drawn) {
    std::fputs("\r\x1b[K", line_->out);
    std::fflush(line_->out);
  }
}

void Progress::update(const ProgressState& state) {
  if (!line_) return;
  const double now = line_->seconds();
  if (line_->last_rated < 0.0 || now - line_->last_rated >= seconds_between_rates) {
    line_->rate.add(now, state.member_steps);
    line_->last_rated = now;
  }
  const double wait = line_->terminal ? seconds_between_redraws : seconds_between_lines;
  if (now - line_->last_drawn < wait) return;
  line_->last_drawn = now;
  line_->write(state, false);
}

void Progress::finish(const ProgressState& state) {
  if (!line_) return;
  if (line_->terminal) {
    std::fputs("\r\x1b[K", line_->out);
    std::fflush(line_->out);
  } else {
    line_->rate.add(line_->seconds(), state.member_steps);
    line_->write(state, true);
  }
  line_.reset();
}

void MovingRate::add(double seconds, std::int64_t count) {
  if (!points_.empty() && count < points_.back().count) points_.clear();
  points_.push_back({seconds, count});
  // The oldest point kept is the last one that is at least a window old: the rate then covers the
  // whole window even when updates are rare.
  while (points_.size() > 2 && seconds - points_[1].seconds >= window_) points_.pop_front();
}

double MovingRate::per_second() const {
  if (points_.size() < 2) return 0.0;
  const double elapsed = points_.back().seconds - points_.front().seconds;
  if (!(elapsed > 0.0)) return 0.0;
  return static_cast<double>(points_.back().count - points_.front().count) / elapsed;
}

std::string progress_text(const ProgressState& state, double member_steps_per_second) {
  std::string text = fmt::format("{} of {} members", state.members_done, state.members);
  if (state.member_steps_total > 0) {
    const double share =
        static_cast<double>(state.member_steps) / static_cast<double>(state.member_steps_total);
    text += fmt::format(", {:.0f} %", std::floor(100.0 * share));
  }
  if (std::isfinite(member_steps_per_second) && member_steps_per_second > 0.0) {
    text += fmt::format(", {} member-steps/s", human_count(member_steps_per_second));
    const std::int64_t left = state.member_steps_total - state.member_steps;
    if (left > 0)
      text += fmt::format(", at most {} left",
                          human_duration(static_cast<double>(left) / member_steps_per_second));
  }
  if (!state.phase.empty()) text += ", " + state.phase;
  return text;
}

std::string human_count(double value) {
  if (!std::isfinite(value)) return "unknown";
  constexpr std::array<std::string_view, 7> prefixes{"", " k", " M", " G", " T", " P", " E"};
  double scaled = std::abs(value);
  std::size_t prefix = 0;
  // 999.5 would be written as 1000 with three digits.
  while (scaled >= 999.5 && prefix + 1 < prefixes.size()) {
    scaled /= 1000.0;
    ++prefix;
  }
  const int decimals = prefix == 0 && scaled == std::floor(scaled) ? 0
                       : scaled >= 99.95                           ? 0
                       : scaled >= 9.995                           ? 1
                                                                   : 2;
  const std::string digits = prefix == 0 && scaled != 0.0 && scaled < 1.0
                                 ? fmt::format("{:.3g}", scaled)
                                 : fmt::format("{:.{}f}", scaled, decimals);
  return fmt::format("{}{}{}", value < 0.0 ? "-" : "", digits, prefixes[prefix]);
}

std::string human_duration(double seconds) {
  // Longer than a century, or not a number: no run waits for it.
  if (!(seconds < 3.2e9)) return "unknown";
  const auto whole = static_cast<std::int64_t>(std::ceil(std::max(seconds, 0.0)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  const std::int64_t minutes = (whole + 30) / 60;
  if (minutes < 24 * 60) return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
  const std::int64_t hours = (whole + 1800) / 3600;
  return fmt::format("{} d {} h", hours / 24, hours % 24);
}

}  // namespace manyfold
