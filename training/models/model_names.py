"""Names by which experiment files call models, and what kind each is."""

from __future__ import annotations

LINEAR_MODELS = ("elastic_net", "ridge", "lasso", "pls", "svr_linear", "cpm")  # weighted sums of inputs
TREE_MODELS = ("random_forest", "hist_gradient_boosting")
NONLINEAR_MODELS = ("svr_rbf", "gaussian_process", *TREE_MODELS)
# They hardly depend on their settings, so there is one.
UNTUNED_MODELS = ("random_forest", "gaussian_process")
# What a bundle can hold, so the only ones that can be primary.
PRIMARY_MODELS = LINEAR_MODELS + TREE_MODELS
REGRESSORS = LINEAR_MODELS + NONLINEAR_MODELS
# Predict the probability of a response; outcomes need a response rule.
CLASSIFIERS = ("logistic_elastic_net", "svm_linear")
MODELS = REGRESSORS + CLASSIFIERS
