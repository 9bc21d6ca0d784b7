"""Experiments that numpy_reference.py goes through: every model, objective, penalty, optimizer and schedule at least once.

Each runs 1000 steps of one member, in double precision, toward a point where the dynamics contract (or, for noise, on a
path where rounding does not grow), so that two correct programs stay together to many digits.
"""

MODELS = {
    "deep": '[model]\nkind = "deep_linear"\nsizes = [5, 4, 6, 6]\n',
    "asymmetric": '[model]\nkind = "asymmetric"\nrank = 3\n',
    "symmetric": '[model]\nkind = "symmetric"\ndepth = 2\nhidden = 4\n',
    "deep_symmetric": '[model]\nkind = "symmetric"\ndepth = 4\nhidden = [3, 5]\n',
    "scalar": '[model]\nkind = "scalar"\ndimension = 3\n',
    "rank_one": '[model]\nkind = "rank_one"\n',
}

WIDE = 'target = { kind = "low_rank", rows = 6, cols = 5, singular_values = [2.0, 1.2] }\n'
SQUARE = 'symmetric = true\ntarget = { kind = "low_rank", size = 6, singular_values = [2.0, 1.2] }\n'

OBJECTIVES = {
    "full": '[objective]\nkind = "full"\n' + WIDE,
    "shifted": '[objective]\nkind = "full"\nshift = "best_rank"\ntarget = { kind = "gaussian", rows = 6, cols = 5 }\n',
    "full_square": '[objective]\nkind = "full"\n' + SQUARE,
    "completion": '[objective]\nkind = "completion"\nobserved = 0.7\n' + WIDE,
    "completion_square": '[objective]\nkind = "completion"\nobserved = 0.7\n' + SQUARE,
    "paper": '[objective]\nkind = "completion"\nobserved = 0.7\nconvention = "paper"\nl2 = 0.002\n' + WIDE,
    "weight_decay": '[objective]\nkind = "completion"\nobserved = 0.7\nconvention = "weight-decay"\nl2 = 0.004\n' + WIDE,
    "l2_square": '[objective]\nkind = "full"\nl2 = 0.05\n' + SQUARE,
    "balanced": '[objective]\nkind = "full"\nbalance_penalty = 0.125\n' + WIDE,
    "sensing": '[objective]\nkind = "sensing"\nconvention = "paper"\nmeasurements = { count = 40 }\n' + WIDE,
    "one": '[objective]\nkind = "full"\ntarget = { kind = "values", size = 1, values = [1.5] }\n',
    "isotropic": '[objective]\nkind = "full"\ntarget = { kind = "identity", size = 5, scale = 1.5 }\n',
    "linear": '[objective]\nkind = "linear"\noffset = 3.0\nl2 = 4.0\n'
    'target = { kind = "low_rank", rows = 6, cols = 5, singular_values = [1.0, 0.5] }\n',
}

START = '[init]\nkind = "gaussian"\nstddev = 0.4\n'


def optimizer(kind, rate, *lines):
    return "\n".join([f'[optimizer]\nkind = "{kind}"\nlearning_rate = {rate}', *lines, ""])


def experiment(model, objective, optimizer_text, start=START, more=""):
    return (
        "problem.seed = 3\nseed = 11\n"
        + MODELS[model]
        + OBJECTIVES[objective]
        + start
        + optimizer_text
        + more
        + "[stop]\nsteps = 1000\ncheck_every = 7\n"
        + "[probes]\n"
        + "train_loss = { steps = [1, 2, 10, 100, 500] }\n"
        + "parameters = { steps = [1, 2, 10, 100, 500] }\n"
    )


GD = optimizer("gd", 0.02)
CASES = {
    # models and objectives under gradient descent
    "gd-deep-full": experiment("deep", "full", GD),
    "gd-deep-completion": experiment("deep", "completion", GD),
    "gd-asymmetric-shifted": experiment("asymmetric", "shifted", GD),
    "gd-asymmetric-balanced": experiment("asymmetric", "balanced", GD),
    "gd-symmetric": experiment("symmetric", "full_square", GD),
    "gd-symmetric-completion": experiment("symmetric", "completion_square", GD),
    "gd-symmetric-l2": experiment("symmetric", "l2_square", GD),
    "gd-deep-symmetric": experiment("deep_symmetric", "full_square", GD),
    "gd-deep-sensing": experiment("deep", "sensing", optimizer("gd", 0.05)),
    "gd-deep-paper": experiment("deep", "paper", optimizer("gd", 0.2)),
    "gd-deep-weight-decay": experiment("deep", "weight_decay", optimizer("gd", 0.1)),
    "gd-scalar": experiment("scalar", "one", GD),
    "gd-rank-one": experiment("rank_one", "isotropic", GD),
    "gd-asymmetric-linear": experiment("asymmetric", "linear", optimizer("gd", 0.02)),
    # optimizers
    "rms-gd": experiment("deep", "completion", optimizer("rms_gd", 0.02, "epsilon = 1.0", "decay = 0.97")),
    "momentum": experiment("deep", "completion", optimizer("momentum", 0.01, "momentum = 0.8")),
    "nesterov": experiment("deep", "completion", optimizer("nesterov", 0.01, "momentum = 0.8")),
    "adam": experiment("asymmetric", "full", optimizer("adam", 0.003, "epsilon = 1e-3")),
    "sign": experiment("asymmetric", "full", optimizer("sign", 0.0005)),
    "sgd-one-entry": experiment("deep", "weight_decay", optimizer("sgd_entries", 0.02)),
    "sgd-paper": experiment("deep", "paper", optimizer("sgd_entries", 0.04)),
    "sgd-batch": experiment("deep", "completion", optimizer("sgd_entries", 0.001, "batch = 4")),
    "sgd-shuffled": experiment("deep", "weight_decay", optimizer("sgd_entries", 0.02, "replacement = false", "batch = 2")),
    "sgd-noisy": experiment("deep", "weight_decay", optimizer("sgd_entries", 0.02, "label_noise = 0.05")),
    "label-noise": experiment("deep", "completion", optimizer("label_noise", 0.01, "label_noise = 0.1")),
    "langevin": experiment("deep", "full", optimizer("langevin", 0.01, "temperature = 1e-4")),
    "perturbed-gd": experiment(
        "asymmetric", "full", optimizer("perturbed_gd", 0.02, "grad_threshold = 0.05", "radius = 0.01", "min_steps = 20")
    ),
    # schedules
    "piecewise": experiment(
        "deep",
        "completion",
        GD,
        more='[schedule.learning_rate]\nkind = "piecewise"\nat = [0, 100, 600]\nvalues = [0.01, 0.03, 0.005]\n',
    ),
    "periodic-l2": experiment(
        "deep",
        "weight_decay",
        optimizer("sgd_entries", 0.02),
        more='[schedule.l2]\nkind = "periodic"\nlengths = [30, 10]\nvalues = [0.001, 0.02]\n',
    ),
    "power": experiment(
        "deep", "completion", optimizer("gd", 0.05), more='[schedule.learning_rate]\nkind = "power"\nexponent = 0.55\n'
    ),
    "cosine": experiment(
        "deep",
        "completion",
        GD,
        more='[schedule.learning_rate]\nkind = "cosine"\nsteps = 800\nfinal = 0.002\nwarmup = 50\n',
    ),
    "linear": experiment(
        "deep", "completion", GD, more='[schedule.learning_rate]\nkind = "linear"\nsteps = 800\nfinal = 0.0\n'
    ),
    "rms-gd-decay": experiment(
        "deep",
        "completion",
        optimizer("rms_gd", 0.02, "epsilon = 1.0"),
        more='[schedule.decay]\nkind = "linear"\nsteps = 800\nfinal = 0.5\n'
        '[schedule.epsilon]\nkind = "piecewise"\nat = [200]\nvalues = [2.0]\n',
    ),
    "adam-betas": experiment(
        "asymmetric",
        "full",
        # Near a minimum Adam with a small epsilon and short memories moves by signs, and roundings grow.
        optimizer("adam", 0.02, "epsilon = 0.5"),
        more='[schedule.beta1]\nkind = "linear"\nsteps = 800\nfinal = 0.5\n'
        '[schedule.beta2]\nkind = "cosine"\nsteps = 900\nfinal = 0.9\n',
    ),
    "perturbed-gd-radius": experiment(
        "asymmetric",
        "full",
        optimizer("perturbed_gd", 0.02, "grad_threshold = 0.05", "radius = 0.01", "min_steps = 20"),
        more='[schedule.radius]\nkind = "exponential"\nsteps = 1000\nfinal = 0.001\n',
    ),
    "balance-penalty-schedule": experiment(
        "asymmetric",
        "balanced",
        GD,
        more='[schedule.balance_penalty]\nkind = "piecewise"\nat = [0, 300]\nvalues = [0.0, 0.5]\n',
    ),
    "exponential-momentum": experiment(
        "deep",
        "completion",
        optimizer("momentum", 0.01, "momentum = 0.8"),
        more='[schedule.momentum]\nkind = "exponential"\nsteps = 900\nfinal = 0.1\n',
    ),
}
