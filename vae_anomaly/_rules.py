"""What each parameter of VAEDetector may be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vae_anomaly._params import Instance, Number, OneOf, Rule, Several
from vae_anomaly.training.callbacks import Callback

RULES: dict[str, tuple[Rule, ...]] = {
    "score_type": (OneOf(("elbo", "reconstruction", "iwae")),),
    "contamination": (Number(0, 0.5), OneOf(("auto",))),
    "n_members": (Number(1, 256, integer=True),),
    "hidden": (Several(Number(1, 65_536, integer=True)),),
    "latent": (Number(1, 65_536, integer=True),),
    "beta": (Number(0, open_high=True),),
    "dof": (Number(0, open_low=True, open_high=True),),
    "max_steps": (Number(1, integer=True),),
    "batch_size": (Number(1, integer=True),),
    "learning_rate": (Number(0, open_low=True, open_high=True),),
    "validation_fraction": (Number(0, 0.5),),
    "patience": (Number(1, integer=True), OneOf((None,))),
    "max_categories": (Number(1, 65_536, integer=True),),
    "kinds": (Instance((Mapping,), "a mapping of column names to kinds"), OneOf((None,))),
    "n_iwae_samples": (Number(2, integer=True),),
    "warm_start": (OneOf((True, False)),),
    "device": (Instance((str,), "'auto' or a device of torch such as 'cpu' or 'cuda:0'"),),
    "precision": (OneOf(("auto", "float32", "bfloat16")),),
    "callbacks": (Several(Instance((Callback,), "a callback with an on_evaluation method"), 0), OneOf((None,))),
    "verbose": (OneOf((True, False)),),
    "random_state": (
        Number(0, 2**32 - 1, integer=True),
        Instance((np.random.RandomState,), "a RandomState"),
        OneOf((None,)),
    ),
}
