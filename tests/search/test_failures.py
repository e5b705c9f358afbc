"""What happens when trials fail."""

from pathlib import Path

import pytest

from keras_med import Binary, Data, Holdout, Image, Model, Recipe, Search
from keras_med.errors import EnvironmentProblem, RunFailed
from keras_med.evaluation.summary import Scoring
from keras_med.jobs.job import Job
from keras_med.runfolder import RunFolder
from keras_med.search.failures import Failures
from keras_med.search.place import Searching
from keras_med.search.trials import _winner


def test_a_failure_is_told_at_once_with_its_trial_and_once_for_all_its_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failures, jobs = Failures(["t002"]), [Job(tmp_path / f"t002-fold{fold}", "a:b") for fold in (0, 1)]
    failures.own("t002", jobs)
    for job in jobs:
        failures.see(job, RunFailed("seven units", where=str(job.folder)))
    assert failures.why == {"t002": "seven units"}
    assert capsys.readouterr().err.count("t002 failed: seven units") == 1


def stopped(whys: list[str], *, order: list[int] | None = None, before: list[str] | None = None) -> bool:
    """Tell whether trials that fail for these reasons, or do not for an empty one, stop the search."""
    failures = Failures([f"t{number}" for number in range(len(whys))], before or [])
    failing = [number for number in order or range(len(whys)) if whys[number]]
    for number in failing[:-1]:
        failures.note(f"t{number}", RunFailed(whys[number]))
    try:
        failures.note(f"t{failing[-1]}", RunFailed(whys[failing[-1]]))
    except RunFailed:
        return True
    return False


def test_three_trials_in_a_row_that_fail_alike_stop_the_search() -> None:
    assert stopped(["memory", "memory", "memory"])
    assert stopped(["memory", "memory", "memory"], order=[2, 0, 1])  # side by side, they end as they like
    assert stopped(["memory"], before=["", "memory", "memory"])  # batches of one
    assert not stopped(["memory", "shape", "memory", "memory"])
    assert not stopped(["memory", "memory", "", "memory"])
    assert not stopped(["memory", "memory"], before=["memory", ""])


def test_fits_that_were_killed_failed_alike_whatever_their_names(tmp_path: Path) -> None:
    jobs = [Job(tmp_path / f"t00{number}-fold0", "a:b") for number in range(3)]
    failures = Failures([job.folder.name[:4] for job in jobs])
    for job in jobs:
        failures.own(job.folder.name[:4], [job])
    failures.see(jobs[0], RunFailed("t000-fold0 was ended by SIGKILL."))
    failures.see(jobs[1], RunFailed("t001-fold0 was ended by SIGKILL."))
    with pytest.raises(RunFailed, match="for the same reason: t002-fold0 was ended"):
        failures.see(jobs[2], RunFailed("t002-fold0 was ended by SIGKILL."))


def test_a_full_disk_is_no_fault_of_a_trial() -> None:
    with pytest.raises(EnvironmentProblem, match="disk"):
        Failures(["t001"]).note("t001", EnvironmentProblem("The disk is full."))


def test_when_all_trials_fail_the_first_reason_is_the_run_s(tmp_path: Path) -> None:
    search = Search(over={"train.batch_size": [8, 16]})
    recipe = Recipe(
        target=Binary(),
        data=Data(lambda root: None),
        image=Image(size=(8, 8)),
        split=Holdout(),
        model=Model(lambda image: image),
        search=search,
    )
    place = Searching(RunFolder(tmp_path), recipe, search, {}, Scoring("binary", "", [1], 0), "0")
    shared = {"round": 0, "epochs": None, "fits": [], "status": "failed", "rank": 1, "figures": None, "seconds": None}
    entries = [
        {**shared, "trial": name, "changes": {"train.batch_size": batch}, "why": f"no memory for {batch}"}
        for name, batch in (("t001", 8), ("t002", 16))
    ]
    place.run.trials.touch()
    with pytest.raises(RunFailed, match="All 2 trials failed; the first: no memory for 8"):
        _winner(place, entries)
    assert not place.run.trials.exists()  # what resumes tries them again
