"""The configuration of a project with one experiment, one arm and one claim."""

from typing import Any

Facts = dict[str, Any]
PARAMS: Facts = {
    "scale": "desk",
    "experiments": {
        "toy": {
            "about": "nothing",
            "seeds": [1000, 1001, 1002, 1003, 1004],
            "threads": 1,
            "base": {
                "data": {"set": "cifar10", "train": 100, "test": 100},
                "model": {"family": "mlp", "hidden": [8]},
                "training": {"epochs": 1, "batch": 10, "optimiser": {"name": "sgd", "lr": 0.1}},
                "probes": {"accuracy": {}},
            },
            "arms": {"cifar10_random": {}},
        }
    },
}
PART: Facts = {
    "target": "C1",
    "evidence": "train_accuracy_cifar10",
    "quantity": "training accuracy",
    "regime": "statistical",
    "unit": "seed",
    "interval": "wilson",
    "rule": {"at_least": 0.99},
    "basis": "table 1",
    "power": {"effect": 1.0, "spread": 0.0},
    "control": {"evidence": "test_accuracy_cifar10", "quantity": "test accuracy", "kind": "must_fail"},
}
CLAIM: Facts = {
    "paper": "ssb",
    "targets": ["C1"],
    "statement": "Networks fit random labels.",
    "source": "sec. 4",
    "experiment": "toy",
    "probes": ["accuracy"],
    "figure": "random_labels",
    "caption": "c",
    "parts": {"fit": PART},
}
PAPER: Facts = {"title": "Spontaneous", "reference": "r", "alpha": 0.05, "family_size": 43, "targets": ["C1", "C2"]}
