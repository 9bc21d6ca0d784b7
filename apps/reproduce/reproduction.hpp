// Experiments of papers whose claims the program evaluates: `manyfold reproduce`. One file a paper
// (overparam.cpp); each experiment says which runs it needs at either scale, and what of their
// records decides its claims.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "apps/manyfold/summary.hpp"
#include "core/sweep/experiment.hpp"

namespace manyfold::apps {

/// quick: minutes at most on two cores; paper: sizes of ../shared/spec, as the paper has them.
enum class Scale { quick, paper };

/// One record of a reproduction.
struct Part {
  std::string name;  ///< of its folder
  std::string toml;
};

struct FinishedPart {
  Experiment experiment;
  Samples samples;
};
/// By the parts' names.
using FinishedParts = std::map<std::string, FinishedPart>;

struct Claim {
  std::string id;         ///< "fig1.patterns"
  std::string statement;  ///< what the source says, in one sentence
  std::string source;     ///< "Du 2019, thesis, figure 1"
  std::string measured;   ///< numbers, in words where several belong together
  std::string bound;      ///< what they are held against; empty where a number is only reported
  bool holds = true;
};

struct Reproduction {
  std::string id;
  std::string title;
  std::vector<Part> (*parts)(Scale);
  std::vector<Claim> (*claims)(const FinishedParts&);
};

/// Every one, in the order of their papers.
std::span<const Reproduction> reproductions();

// One of each paper's file.
std::vector<Reproduction> overparam_reproductions();

}  // namespace manyfold::apps
