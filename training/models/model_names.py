"""Names by which experiment files call models, and what kind each is."""

from __future__ import annotations

# Weighted sums of inputs: what a bundle can hold, so the only ones that can be primary.
LINEAR_MODELS = ("elastic_net", "ridge", "lasso", "pls", "svr_linear", "cpm")
NONLINEAR_MODELS = ("svr_rbf", "gaussian_process", "random_forest", "hist_gradient_boosting")
REGRESSORS = LINEAR_MODELS + NONLINEAR_MODELS
# Predict the probability of a response; outcomes need a response rule.
CLASSIFIERS = ("logistic_elastic_net", "svm_linear")
MODELS = REGRESSORS + CLASSIFIERS
