from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HIDE_TRAINING = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden!r}:
            raise ImportError(f"{{name}} is hidden")
sys.meta_path.insert(0, Hidden())
import {module}
"""


def import_with_hidden(module: str, hidden: set[str]) -> subprocess.CompletedProcess[str]:
    code = HIDE_TRAINING.format(hidden=hidden, module=module)
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)


def test_the_import_contracts_hold(project: Path) -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_serving_and_the_model_load_with_training_hidden() -> None:
    for module in ("serving.app", "predictor.model.bundle", "predictor.pipeline"):
        done = import_with_hidden(module, {"training"})
        assert done.returncode == 0, done.stderr


def test_the_predictor_stands_alone() -> None:
    done = import_with_hidden("predictor.pipeline", {"training", "serving", "mlflow", "fastapi", "shap", "matplotlib"})
    assert done.returncode == 0, done.stderr


def test_no_committed_file_names_a_registry_or_a_path_of_a_machine(project: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=project, capture_output=True, text=True, check=True).stdout
    # In two parts, so that this file does not contain them either.
    registries = [b"pypi" + b".org", b"files.python" + b"hosted", b"registry.npm" + b"js"]
    forbidden = [*registries, b"/work/" + b"main", b"/root" + b"/."]
    for name in listed.splitlines():
        path = project / name
        if path.is_file():
            content = path.read_bytes()
            assert not [word for word in forbidden if word in content], name
