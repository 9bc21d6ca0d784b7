// Small networks of every layer, activation, preset and loss, as experiments.
#pragma once

#include <string>
#include <vector>

namespace manyfold::testing {

/// Five random examples of that shape, and three for tests.
inline std::string data(const std::string& shape, int outputs,
                        const std::string& targets = "random_normal") {
  return "[data]\nsource = \"gaussian\"\nshape = " + shape +
         "\noutputs = " + std::to_string(outputs) + "\ncount = 5\ntest_count = 3\ntargets = \"" +
         targets + "\"\n";
}

/// Five images of handwritten digits of three classes, and three for tests.
inline const std::string digits =
    "[data]\nsource = \"digits\"\nclasses = [3, 1, 7]\ncount = 5\ntest_count = 3\n";

inline std::string experiment(
    const std::string& model, const std::string& more, const std::string& init = "stddev = 0.5",
    const std::string& optimizer = "kind = \"gd\"\nlearning_rate = 0.01") {
  return "problem.seed = 3\nseed = 5\n[model]\n" + model + "\n" + more +
         "[init]\nkind = \"gaussian\"\n" + init + "\n[optimizer]\n" + optimizer +
         "\n[stop]\nsteps = 20\n[probes]\ntrain_loss = { every = 5 }\n";
}

inline std::string list(const std::vector<std::string>& layers) {
  std::string text = "kind = \"network\"\nlayers = [";
  for (const std::string& layer : layers) text += "\"" + layer + "\", ";
  return text + "]";
}

struct NetworkCase {
  std::string name;
  std::string toml;
};

inline std::vector<NetworkCase> layer_cases() {
  std::vector<NetworkCase> all;
  const auto add = [&](const std::string& name, const std::vector<std::string>& layers,
                       const std::string& shape, int outputs = 2) {
    all.push_back({name, experiment(list(layers), data(shape, outputs))});
  };
  add("linear map", {"output"}, "[4]");
  for (const std::string activation :
       {"linear", "relu", "leaky_relu 0.3", "softplus", "tanh", "sigmoid", "erf"}) {
    add(activation, {"dense 3", activation, "output"}, "[4]");
    add(activation + " after itself", {"dense 3", activation, activation, "output"}, "[4]");
    add(activation + " on the input and the output", {activation, "output", activation}, "[4]");
    add(activation + ", scaled",
        {"dense 3 scale 0.5", activation + " scale 0.7", activation + " scale 2", "output scale 3"},
        "[4]");
  }
  add("biases", {"dense 3 bias", "tanh", "dense 3 bias scale 2", "tanh", "output bias"}, "[4]");
  add("frozen", {"dense 3", "tanh", "dense 4 frozen", "tanh", "output frozen signs"}, "[4]");
  add("frozen first with a bias", {"dense 3 frozen bias", "tanh", "output"}, "[4]");
  add("signs", {"dense 3 signs", "tanh", "output"}, "[4]");
  add("block", {"dense 3", "residual", "dense 3", "tanh", "end scale 0.4", "output"}, "[4]");
  add("block of one product", {"dense 3", "residual", "dense 3", "end", "output"}, "[4]");
  add("block of one activation", {"dense 3", "residual", "tanh", "end", "tanh", "output"}, "[4]");
  add("block that begins with an activation",
      {"dense 3", "residual", "relu", "dense 3", "end scale 2", "output"}, "[4]");
  add("block on a scaled value",
      {"dense 3", "tanh scale 0.5", "residual", "dense 5", "tanh scale 3", "dense 3", "end",
       "output"},
      "[4]");
  add("block on the input", {"residual", "dense 4", "tanh", "end", "output"}, "[4]");
  add("block at the output", {"output", "residual", "dense 2", "tanh", "end scale 0.3"}, "[4]");
  add("nested blocks that begin together",
      {"dense 3", "residual", "residual", "dense 3", "tanh", "end scale 0.5", "dense 3", "end",
       "output"},
      "[4]");
  add("nested blocks that end together",
      {"dense 3", "tanh scale 2", "residual", "dense 3", "tanh", "residual", "tanh", "dense 3",
       "tanh", "end scale 0.5", "end scale 3", "output"},
      "[4]");
  add("nested blocks that begin and end together",
      {"dense 3", "residual", "residual", "dense 3", "tanh", "end", "end scale 0.5", "output"},
      "[4]");
  add("signals", {"conv 2 3", "tanh", "conv 3 2 stride 2 padding 1", "tanh", "flatten", "output"},
      "[7]");
  add("signals with biases", {"conv 2 3 bias", "tanh", "pool all", "flatten", "output bias"},
      "[6]");
  add("images",
      {"conv 2 3 padding 1", "relu", "pool 2", "conv 3 2x1 stride 1x2", "tanh", "flatten",
       "output"},
      "[2, 5, 4]");
  add("images with biases and strides",
      {"conv 2 2x3 stride 2x1 padding 1x0 bias", "softplus", "pool 2 stride 1", "flatten",
       "dense 3 bias", "erf", "output"},
      "[1, 5, 6]");
  add("pool of the input", {"pool 2", "flatten", "output"}, "[2, 4, 4]");
  add("convolutional block",
      {"conv 3 3 padding 1", "tanh", "residual", "conv 3 3 padding 1", "tanh", "end scale 0.3",
       "pool all", "flatten", "output"},
      "[2, 3, 3]");
  add("one place, then many", {"conv 2 3", "tanh", "conv 1 1 padding 1", "pool all", "flatten"},
      "[1, 3, 3]", 1);
  add("flat images", {"flatten", "dense 3", "tanh", "output"}, "[2, 3, 2]");
  return all;
}

inline std::vector<NetworkCase> preset_cases() {
  std::vector<NetworkCase> all;
  const auto add = [&](const std::string& name, const std::string& model, const std::string& shape,
                       const std::string& init) {
    all.push_back({name, experiment(model, data(shape, 1), init)});
  };
  const std::string of_scale = "stddev = 0.8";
  add("two_layer_relu", "kind = \"two_layer_relu\"\nhidden = 5", "[4]", "");
  for (const std::string parametrization : {"standard", "ntk", "thesis"}) {
    const std::string by = "\nparametrization = \"" + parametrization + "\"";
    for (const std::string activation : {"relu", "softplus", "tanh"}) {
      const std::string with = by + "\nactivation = \"" + activation + "\"";
      add("fc " + parametrization, "kind = \"fc\"\nhidden = [5, 3]" + with, "[4]", of_scale);
      const std::string c_res = parametrization == "thesis" ? "\nc_res = 0.6" : "";
      add("resnet " + parametrization, "kind = \"resnet\"\nhidden = 3\ndepth = 4" + with + c_res,
          "[4]", of_scale);
      add("conv_resnet " + parametrization,
          "kind = \"conv_resnet\"\nchannels = 2\ndepth = 3" + with + c_res, "[5]", of_scale);
    }
  }
  add("conv_resnet on images", "kind = \"conv_resnet\"\nchannels = 2\ndepth = 3", "[2, 3, 3]",
      of_scale);
  add("fc on images", "kind = \"fc\"\nhidden = 3\ndepth = 3\nbias = true", "[2, 2, 2]", of_scale);
  add("cnn", "kind = \"cnn\"\nchannels = [2, 3]\npool = 2\nhidden = [4]\nbias = true", "[1, 6, 6]",
      "scaling = \"he\"");
  add("cnn with strides", "kind = \"cnn\"\nchannels = [2, 3]\nkernel = 2\nstride = 2\npadding = 1",
      "[2, 5, 4]", "scaling = \"fan_in\"\nstddev = 1.5");
  add("cnn, ntk", "kind = \"cnn\"\nchannels = [2]\nparametrization = \"ntk\"", "[6]", "");
  return all;
}

inline std::vector<NetworkCase> loss_cases() {
  std::vector<NetworkCase> all;
  const std::string model = list({"dense 4", "tanh", "output scale 1.5"});
  for (const std::string reduction : {"sum", "mean"}) {
    const std::string with = "reduction = \"" + reduction + "\"\n";
    all.push_back(
        {"squared " + reduction, experiment(model, data("[3]", 3) + "[objective]\n" + with)});
    all.push_back({"cross_entropy " + reduction,
                   experiment(list({"pool 4", "flatten", "dense 3", "tanh", "output scale 1.5"}),
                              digits + "[objective]\nloss = \"cross_entropy\"\n" + with)});
    all.push_back({"logistic " + reduction,
                   experiment(model, data("[3]", 1, "random_sign") +
                                         "[objective]\nloss = \"logistic\"\n" + with)});
  }
  all.push_back({"weight decay", experiment(list({"dense 4 bias", "tanh", "output frozen"}),
                                            data("[3]", 3) + "[objective]\nl2 = 0.3\n")});
  return all;
}

}  // namespace manyfold::testing
