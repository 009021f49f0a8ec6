"""The parts of `BehaviorFeatures`: reading rows, what is remembered of them, and what a row's past says of it."""
