#!/bin/sh
# What `make run` does once the environment is ready: each step once, then the service. All data here are synthetic.
set -eu
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
krp=.venv/bin/krp
port="${PORT:-8000}"

step() { printf '[%s/6] %-22s %s\n' "$1" "$2" "$3"; }

step 2 "Simulate trial" "120 patients + 40 controls, 3 runs each; two more people as sample visits"
[ -e demo/trial ] || $krp simulate demo/trial --participants 120 --controls 40 --seed 1
[ -e demo/sample ] || $krp simulate demo/sample --participants 2 --controls 0 --seed 2 --quiet

step 3 "Extract features" "160 visits; finished ones are skipped"
$krp extract demo/trial/derivatives/fmriprep demo/features participant --bids-dir demo/trial
$krp extract demo/trial/derivatives/fmriprep demo/features group --bids-dir demo/trial

step 4 "Train" "primary elastic net, baselines on the same folds, permutations; logged under mlruns/"
# Other features, after an update of the code for example, need another model.
features=$(cksum < demo/features/features.tsv)
if [ "$(cat demo/trained 2>/dev/null)" != "$features" ] || [ ! -e mlruns/mlflow.db ]; then
  $krp train experiments/baseline_prediction.toml
  step 5 "Promote" "ketamine-response, the candidate that was just trained"
  # A refusal (exit code 4) is an answer: the model is then served labelled "not promoted".
  $krp promote ketamine-response/candidate || [ $? -eq 4 ]
  echo "$features" > demo/trained
else
  step 5 "Promote" "trained and decided before; see mlruns/promotions.jsonl"
fi

step 6 "Serve" "http://127.0.0.1:$port   MLflow: make mlflow"
exec $krp serve --port "$port" --sample-visit "$(ls -d demo/sample/derivatives/fmriprep/sub-*/ | head -n 1)"
