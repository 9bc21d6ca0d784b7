// A named stretch of work, as profilers show it.
#pragma once

#include <string>

#include "core/executor/executor.hpp"

namespace manyfold {

class Range {
 public:
  Range(Executor& executor, const char* name) : executor_(executor) { executor.push_range(name); }
  Range(Executor& executor, const std::string& name) : Range(executor, name.c_str()) {}
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
  ~Range() { executor_.pop_range(); }

 private:
  Executor& executor_;
};

}  // namespace manyfold
