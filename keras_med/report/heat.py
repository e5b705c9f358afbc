"""The explanation job's maps to heat over the pictures of the gallery, and to what is said of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_med.inference.overlay import scale_of
from keras_med.report.wording import finite, several
from keras_med.runfolder import RunFolder, read_json

JOB = "explanations"
ALIKE = 0.7  # rank correlation with the shuffled network from which a map shows the picture rather than the training

DISAGREE = 0.2  # rank correlation with occlusion below which a map is not to be relied on


@dataclass(frozen=True)
class Heat:
    """Heat maps of one network.

    planes: of each example, (height, width), in the units of the score.
    slices: of a volume's example, the slice that the plane is of.
    scale: what is drawn at full strength, one for all pictures.
    shuffled: the same of the network with shuffled weights; empty where that gives no numbers.
    similarity: median rank correlation of the two.
    occlusion: median rank correlation with what covering blocks does to the answer, and of how many pictures.
    why: why there is none.
    """

    planes: dict[str, npt.NDArray[np.float32]]
    slices: dict[str, int | None]
    scale: float
    shuffled: dict[str, npt.NDArray[np.float32]]
    similarity: float | None = None
    occlusion: tuple[float, int] | None = None
    why: str = ""

    def sentences(self) -> list[str]:
        """Say what the maps are, and whether shuffled weights give the same."""
        if self.why:
            return [f"No heat maps: {self.why}"]
        if not self.planes:
            return []
        said = ["Heat shows what the network's answer came from, on one scale for all pictures; it is no diagnosis."]
        if self.similarity is not None and self.shuffled:
            told = f"Ranks of heat correlate by {self.similarity:.2f} with those of the network with shuffled weights"
            alike = ": these maps show the pictures more than what was learned" if abs(self.similarity) > ALIKE else ""
            said.append(f"{told}{alike}.".replace("-", "\u2212"))
        if self.occlusion is not None:
            agreed, pictures = self.occlusion
            told = (
                f"Covering one block after the other of {several(pictures, 'picture')} (occlusion) ranks places as the "
            )
            told += f"heat does by {agreed:.2f}"
            doubt = ": the two disagree, so believe neither" if agreed < DISAGREE else ""
            said.append(f"{told}{doubt}.".replace("-", "\u2212"))
        return said


NONE = Heat({}, {}, 1.0, {})


def read_heat(run: RunFolder) -> Heat:
    """Read what the job left; nothing where it did not run."""
    folder = run.fit(JOB)
    if not folder.done.is_file():
        return NONE
    done: dict[str, Any] = read_json(folder.done)
    if done.get("why"):
        return Heat({}, {}, 1.0, {}, why=str(done["why"]))
    ids, planes = [str(each) for each in done["cases"]], np.load(folder.path / "heat.npy", allow_pickle=False)
    other = folder.path / "shuffled.npy"
    shuffled = np.load(other, allow_pickle=False) if other.is_file() else ()
    covered = done.get("occlusion") or {}
    return Heat(
        planes=dict(zip(ids, planes, strict=True)),
        slices=dict(zip(ids, done["slices"], strict=True)),
        scale=scale_of(planes),
        shuffled=dict(zip(ids, shuffled, strict=False)),
        similarity=done.get("similarity"),
        occlusion=(covered["agreement"], covered["pictures"]) if finite(covered.get("agreement")) else None,
    )
