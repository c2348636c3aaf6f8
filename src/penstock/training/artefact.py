"""A model as a folder: what is in it, its digest, and how it is opened without running anybody's code.

The digest is compared before anything is parsed, and the only types that loading may build are those of scikit-learn,
xgboost and lightgbm that are listed here in code: a list that came with the artefact would let the artefact vouch for itself. Knows nothing of MLflow,
so that a Spark worker needs none.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from penstock import kinds
from penstock.errors import RefusedError
from penstock.kinds import CLASSIFICATION, Kind
from penstock.training.contributions import UNEXPLAINED, Explanation, from_json
from penstock.training.inputs import Inputs
from penstock.training.parts import Parts, parts_of

MODEL_FILE = "model.skops"
INPUTS_FILE = "penstock-inputs.json"
REASONS_FILE = "penstock-reasons.json"
# MLflow writes this one beside a model when it downloads it by its registered name: it is no part of the model.
_ADDED_BY_DOWNLOAD = "registered_model_meta"
_TREES = ("sklearn.ensemble._hist_gradient_boosting.", "sklearn.ensemble._forest")
_PICKLES = (".pkl", ".pickle", ".joblib", ".cloudpickle", ".dill", ".npy")

TRUSTED_TYPES = frozenset(
    {
        "collections.OrderedDict",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRegressor",
        "numpy.dtype",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.tree._tree.Tree",
        "xgboost.core.Booster",
        "xgboost.sklearn.XGBClassifier",
        "xgboost.sklearn.XGBRegressor",
    }
)
"""Types, beyond those that skops trusts by itself, which the models made by `penstock.training.model` consist of.

skops keeps a booster as its library serialises it: LightGBM's text and XGBoost's binary format, each read by the library's
own parser. Linear models, scalers and imputers are among what skops trusts.
"""


@dataclass(frozen=True)
class Loaded:
    """A model that was opened after its digest agreed."""

    model: Any
    inputs: Inputs
    digest: str
    explanation: Explanation = UNEXPLAINED
    kind: Kind = CLASSIFICATION

    @cached_property
    def parts(self) -> Parts | None:
        """The model taken apart, once; None for one of a shape that is scored only whole."""
        return parts_of(self.model)

    @cached_property
    def order(self) -> Literal["C", "F"]:
        """How the matrix best lies in memory: by rows for trees, which take a row at a time, else by columns as in training.

        A tree's score does not depend on it; the last bit of a linear model's sums does.
        """
        return "C" if self.parts is not None and type(self.parts.estimator).__module__.startswith(_TREES) else "F"


def model_digest(folder: Path) -> str:
    """SHA-256, in hex, over the relative path, length and bytes of every file, in order of path.

    Raises RefusedError when there is no file, or one is a link: its bytes are somewhere else.
    """
    found = hashlib.sha256()
    files = sorted(
        (path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()), key=lambda p: p.relative_to(folder).as_posix()
    )
    files = [path for path in files if path.relative_to(folder).as_posix() != _ADDED_BY_DOWNLOAD]
    for path in files:
        if path.is_symlink():
            raise RefusedError("model folder", got=f"a symbolic link, {path.name}", expected="files only", left="Nothing was loaded.")
        name, size = path.relative_to(folder).as_posix().encode(), path.stat().st_size
        found.update(f"{len(name)}:{size}:".encode() + name)
        with path.open("rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                found.update(block)
    if not files:
        raise RefusedError("model folder", got="no files", expected=MODEL_FILE, left="Nothing was loaded.")
    return found.hexdigest()


def write_inputs(folder: Path, inputs: Inputs, explanation: Explanation = UNEXPLAINED, kind: Kind = CLASSIFICATION) -> None:
    """Put beside the model its columns, in its order, what it predicts, and what its reasons are made from or why there are none."""
    text = json.dumps({"numeric": list(inputs.numeric), "categorical": list(inputs.categorical), "kind": kind.name}, indent=1)
    (folder / INPUTS_FILE).write_text(text + "\n", encoding="utf-8")
    (folder / REASONS_FILE).write_text(explanation.to_json(), encoding="utf-8")


def read_explanation(folder: Path) -> Explanation:
    """What lies beside a model whose digest was checked. Raises RefusedError for a file that cannot be read."""
    path = folder / REASONS_FILE
    if not path.is_file():
        return Explanation(why_none="the model was trained before reasons were kept")
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(f"an unreadable {REASONS_FILE}") from error


def load(folder: Path, expected_digest: str) -> Loaded:
    """Open the model of a folder.

    Raises RefusedError when the digest is another, when there is a pickle, when the file is no skops file, or when it
    holds a type that is not in `TRUSTED_TYPES`; in each case nothing of it has run.
    """
    check_digest(folder, expected_digest)
    _only_known_files(folder)
    inputs, kind = _read_inputs(folder)
    return Loaded(_open(folder / MODEL_FILE), inputs, expected_digest, read_explanation(folder), kind)


def read_inputs(folder: Path, expected_digest: str) -> tuple[Inputs, Kind]:
    """The columns of a folder's model and what it predicts, after its digest agreed. Raises RefusedError as `load` does."""
    check_digest(folder, expected_digest)
    _only_known_files(folder)
    return _read_inputs(folder)


def check_digest(folder: Path, expected_digest: str) -> None:
    """Raise RefusedError when the folder has another digest than the one logged at training, or when that is not known."""
    digest = model_digest(folder)
    if not expected_digest or digest != expected_digest:
        raise RefusedError(
            "digest of the model",
            got=digest[:16],
            expected=f"{expected_digest[:16] or 'one that was logged'}, as logged at training",
            left="Nothing was loaded.",
            next="find out who changed the artefact; penstock rollback PIPELINE, or train again",
        )


def saved_bytes(model: Any) -> int:
    """How many bytes the model takes on disk."""
    import skops.io

    return len(skops.io.dumps(model))


def require_known_types(model: Any) -> None:
    """Raise RefusedError when `model` holds a type that `load` would refuse, such as an estimator with its own compiled tree."""
    import skops.io

    unknown = sorted(set(skops.io.get_untrusted_types(data=skops.io.dumps(model))) - TRUSTED_TYPES)
    if unknown:
        raise RefusedError(
            "model",
            got=f"the types {', '.join(unknown)}",
            expected="types that load without running code",
            left="Nothing was logged.",
            next="choose another estimator under training.candidates, or add the types to TRUSTED_TYPES in penstock/training/artefact.py after reading them",
        )


def _only_known_files(folder: Path) -> None:
    pickles = sorted(path.name for path in folder.rglob("*") if path.suffix.lower() in _PICKLES)
    if pickles:
        raise _refused(f"{', '.join(pickles)}, which runs code when loaded")
    for name in (MODEL_FILE, INPUTS_FILE):
        if not (folder / name).is_file():
            raise _refused(f"no {name}")


def _open(path: Path) -> Any:
    import skops.io  # a Spark worker that holds its model already pays nothing for the library

    try:
        untrusted = set(skops.io.get_untrusted_types(file=path))
        unknown = sorted(untrusted - TRUSTED_TYPES)
        if unknown:
            raise _refused(f"the types {', '.join(unknown)}")
        return skops.io.load(path, trusted=sorted(untrusted))
    except ModuleNotFoundError as error:
        raise RefusedError(
            "model artefact",
            got=f"a model of {(error.name or '').partition('.')[0] or 'a library'}, which is not installed here",
            expected="the libraries that it was trained with",
            left="Nothing was loaded.",
            next="pip install 'penstock[boosting]' wherever scores are made",
        ) from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError) as error:
        raise _refused(f"a file that cannot be read as one ({type(error).__name__})") from error


def _read_inputs(folder: Path) -> tuple[Inputs, Kind]:
    try:
        found = json.loads((folder / INPUTS_FILE).read_text(encoding="utf-8"))
        # What was logged before there was more than one kind is a classification.
        return Inputs(tuple(found["numeric"]), tuple(found["categorical"])), kinds.of(found.get("kind", CLASSIFICATION.name))
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(f"an unreadable {INPUTS_FILE}") from error


def _refused(got: str) -> RefusedError:
    return RefusedError(
        "model artefact",
        got=got,
        expected=f"{MODEL_FILE} with types that are known, and {INPUTS_FILE}",
        left="Nothing was loaded.",
        next="train again with penstock train PIPELINE",
    )
