"""From a model file to the predictors of its networks."""
