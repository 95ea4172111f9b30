#!/bin/sh
# What `make run` does after the environment is ready: each step once, then the service. Everything here is synthetic.
set -eu
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
krp=.venv/bin/krp
experiment=experiments/baseline_prediction.toml
port="${PORT:-8000}"

say_step() { printf '%-29s' "[$1/6] $2"; printf '%s\n' "${3:-}"; }

say_step 2 "Simulate trial" "120 patients + 40 controls, 3 runs each; and one new person as the sample visit"
[ -e demo/trial ] || $krp simulate demo/trial --participants 120 --controls 40 --seed 1
[ -e demo/sample ] || $krp simulate demo/sample --participants 1 --controls 0 --seed 2 >/dev/null

say_step 3 "Extract features" "160 visits"
# Resumable: finished visits are skipped.
$krp extract demo/trial/derivatives/fmriprep demo/features participant --bids-dir demo/trial
$krp extract demo/trial/derivatives/fmriprep demo/features group

say_step 4 "Train" "primary model, baselines and permutations; tracked under mlruns/"
if [ ! -e demo/model_version ]; then
  $krp train "$experiment" --version-file demo/model_version
fi

say_step 5 "Promote" "$(cat demo/model_version)"
# A refusal (exit code 4) is an answer: the model is then served labelled "not promoted".
$krp promote "$(cat demo/model_version)" || [ $? -eq 4 ]

say_step 6 "Serve" "http://127.0.0.1:$port   MLflow: make mlflow"
exec $krp serve --port "$port" --sample-visit demo/sample
