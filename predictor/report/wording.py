"""Names of features and outcomes as people say them."""

from __future__ import annotations

KIND_IN_WORDS = {
    "rest_fisher_z": "Rest connectivity",
    "rest_partial": "Rest partial correlation",
    "gppi_faces_mean": "gPPI while viewing faces, both directions",
    "gppi_faces": "gPPI while viewing faces",
    "rdcm_rest": "Effective connectivity at rest",
    "rdcm_faces": "Effective connectivity while viewing faces",
    "activation_faces": "Activation by faces",
    "activation_conflict": "Activation by conflict",
    "activation_conflict_regulation": "Activation in conflict regulation",
}
DIRECTED_KINDS = {"gppi_faces", "rdcm_rest", "rdcm_faces"}
SIDES = {"L": "left", "R": "right"}
UNITS = {"percent": "%", "1": "", "none": "", "unitless": "", "fisher_z": "(Fisher z)"}


def feature_in_words(name: str) -> str:
    """Return a feature's name for people; unknown names come back without underscores.

    Examples
    --------
    >>> feature_in_words("gppi_faces__vmPFC__amygdala_L")
    'gPPI while viewing faces: vmPFC → left amygdala'
    >>> feature_in_words("rest_fisher_z__hippocampus_anterior_R__dACC")
    'Rest connectivity: right anterior hippocampus – dACC'
    >>> feature_in_words("caps5_total_baseline")
    'CAPS-5 total at baseline'
    """
    place, kind = place_and_kind(name)
    return f"{kind}: {place}" if kind else place


def place_and_kind(name: str) -> tuple[str, str]:
    """Return where a feature was measured and what it is; what has no place is all in the first.

    Examples
    --------
    >>> place_and_kind("rest_fisher_z__amygdala_L__vmPFC")
    ('left amygdala – vmPFC', 'Rest connectivity')
    """
    kind, *places = name.split("__")
    if not places:
        return _plain(name), ""
    joint = " → " if kind in DIRECTED_KINDS else " – "
    words = joint.join(region_in_words(place) for place in places)
    return words, KIND_IN_WORDS.get(kind, _plain(kind))


def region_in_words(name: str) -> str:
    """Return a region's name for people.

    Examples
    --------
    >>> region_in_words("insula_anterior_L")
    'left anterior insula'
    """
    words = name.split("_")
    side = SIDES.get(words[-1])
    if side is None:
        return " ".join(words)
    return " ".join([side, *reversed(words[:-1])])


def quantity(value: float, unit: str, *, signed: bool = False, digits: int | None = None) -> str:
    """Return a number with its unit, rounded as far as it means something unless told.

    Examples
    --------
    >>> quantity(41.23, "percent"), quantity(-0.3149, "beta", signed=True)
    ('41 %', '−0.31 beta')
    """
    if digits is None:
        digits = 0 if abs(value) >= 10 else 1 if abs(value) >= 1 else 2
    rounded = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if not float(rounded):
        rounded = rounded.lstrip("+-")
    return " ".join(filter(None, [rounded.replace("-", "−"), UNITS.get(unit, unit)]))


def in_percent(share: float) -> str:
    """Return a share between 0 and 1 in percent.

    Examples
    --------
    >>> in_percent(0.634)
    '63 %'
    """
    return f"{100 * share:.0f} %"


def outcome_in_words(name: str) -> str:
    """Return an outcome's name for people.

    Examples
    --------
    >>> outcome_in_words("caps5_percent_improvement")
    'CAPS-5 percent improvement'
    """
    return _plain(name)


def _plain(name: str) -> str:
    words = name.replace("caps5", "CAPS-5").replace("pcl5", "PCL-5").replace("_", " ")
    words = words.replace("total baseline", "total at baseline").replace(" mm", " (mm)")
    return words[:1].upper() + words[1:]
