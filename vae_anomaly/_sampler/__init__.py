"""What is kept of a fit to sample from it: aggregates of its rows, drawn from with the network's help."""
