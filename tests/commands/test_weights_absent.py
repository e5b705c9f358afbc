"""What happens without ImageNet weights: demo data go on with random ones, real data do not."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from keras_med.phantoms.chest_xray import spr_age

ROOT = Path(__file__).parents[2]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def test_on_real_data_a_run_without_weights_ends_with_what_to_fetch_and_where_to_put_it(
    command: Command, tmp_path: Path
) -> None:
    spr_age(tmp_path / "data", seed=0, train=80, test=4)
    nowhere = {"KERAS_HOME": str(tmp_path / "keras"), "https_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    told = command("run", ROOT / "recipes" / "spr_age.py", "--data", tmp_path / "data", "--smoke", **nowhere)
    assert told.returncode == 4, told.stderr
    last = told.stderr.splitlines()[-4:]
    assert "Traceback" not in told.stderr
    assert any("efficientnetb2_notop.h5" in line for line in last)
    assert any("https://" in line for line in last)
    assert any(str(tmp_path / "keras" / "models") in line for line in last)
    assert any("--weights" in line for line in last)
