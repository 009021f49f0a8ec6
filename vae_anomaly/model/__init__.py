"""The mathematics: likelihoods, network, objective. Torch only, never a dataframe."""
