"""Predictors that learn accuracies from a few labels and training-free scores, one a file."""
