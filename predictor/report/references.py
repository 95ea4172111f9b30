"""Works that the methods of a visit or an answer may cite, by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Reference:
    """One work."""

    short: str  # as it stands in a sentence: "Power et al., 2014"
    full: str
    doi: str  # empty where there is none


REFERENCES: Final[Mapping[str, Reference]] = {
    "abraham2014": Reference(
        "Abraham et al., 2014",
        "Abraham A, et al. (2014). Machine learning for neuroimaging with scikit-learn. Front Neuroinform 8:14.",
        "10.3389/fninf.2014.00014",
    ),
    "barber2021": Reference(
        "Barber et al., 2021",
        "Barber RF, et al. (2021). Predictive inference with the jackknife+. Ann Stat 49:486-507.",
        "10.1214/20-AOS1965",
    ),
    "behzadi2007": Reference(
        "Behzadi et al., 2007",
        "Behzadi Y, et al. (2007). A component based noise correction method (CompCor) for BOLD and perfusion based "
        "fMRI. NeuroImage 37:90-101.",
        "10.1016/j.neuroimage.2007.04.042",
    ),
    "di2017": Reference(
        "Di et al., 2017",
        "Di X, Reynolds RC, Biswal BB (2017). Imperfect (de)convolution may introduce spurious psychophysiological "
        "interactions and how to avoid it. Hum Brain Mapp 38:1723-1740.",
        "10.1002/hbm.23413",
    ),
    "etkin2006": Reference(
        "Etkin et al., 2006",
        "Etkin A, et al. (2006). Resolving emotional conflict: a role for the rostral anterior cingulate cortex in "
        "modulating activity in the amygdala. Neuron 51:871-882.",
        "10.1016/j.neuron.2006.07.029",
    ),
    "frassle2017": Reference(
        "Frässle et al., 2017",
        "Frässle S, et al. (2017). Regression DCM for fMRI. NeuroImage 155:406-421.",
        "10.1016/j.neuroimage.2017.02.090",
    ),
    "frassle2021": Reference(
        "Frässle et al., 2021",
        "Frässle S, et al. (2021). Regression dynamic causal modeling for resting-state fMRI. Hum Brain Mapp "
        "42:2159-2180.",
        "10.1002/hbm.25357",
    ),
    "friston1996": Reference(
        "Friston et al., 1996",
        "Friston KJ, et al. (1996). Movement-related effects in fMRI time-series. Magn Reson Med 35:346-355.",
        "10.1002/mrm.1910350312",
    ),
    "friston1998": Reference(
        "Friston et al., 1998",
        "Friston KJ, et al. (1998). Event-related fMRI: characterizing differential responses. NeuroImage 7:30-40.",
        "10.1006/nimg.1997.0306",
    ),
    "friston2002": Reference(
        "Friston et al., 2002",
        "Friston KJ, et al. (2002). Classical and Bayesian inference in neuroimaging: applications. NeuroImage "
        "16:484-512.",
        "10.1006/nimg.2002.1091",
    ),
    "gitelman2003": Reference(
        "Gitelman et al., 2003",
        "Gitelman DR, et al. (2003). Modeling regional and psychophysiologic interactions in fMRI: the importance of "
        "hemodynamic deconvolution. NeuroImage 19:200-207.",
        "10.1016/S1053-8119(03)00058-2",
    ),
    "glover1999": Reference(
        "Glover, 1999",
        "Glover GH (1999). Deconvolution of impulse response in event-related BOLD fMRI. NeuroImage 9:416-429.",
        "10.1006/nimg.1998.0419",
    ),
    "hoerl1970": Reference(
        "Hoerl & Kennard, 1970",
        "Hoerl AE, Kennard RW (1970). Ridge regression: biased estimation for nonorthogonal problems. Technometrics "
        "12:55-67.",
        "10.1080/00401706.1970.10488634",
    ),
    "ledoit2004": Reference(
        "Ledoit & Wolf, 2004",
        "Ledoit O, Wolf M (2004). A well-conditioned estimator for large-dimensional covariance matrices. J Multivar "
        "Anal 88:365-411.",
        "10.1016/S0047-259X(03)00096-4",
    ),
    "lindquist2019": Reference(
        "Lindquist et al., 2019",
        "Lindquist MA, et al. (2019). Modular preprocessing pipelines can reintroduce artifacts into fMRI data. Hum "
        "Brain Mapp 40:2358-2376.",
        "10.1002/hbm.24528",
    ),
    "lundberg2017": Reference(
        "Lundberg & Lee, 2017",
        "Lundberg SM, Lee SI (2017). A unified approach to interpreting model predictions. Advances in Neural "
        "Information Processing Systems 30.",
        "",
    ),
    "lundberg2020": Reference(
        "Lundberg et al., 2020",
        "Lundberg SM, et al. (2020). From local explanations to global understanding with explainable AI for trees. "
        "Nature Machine Intelligence 2:56-67.",
        "10.1038/s42256-019-0138-9",
    ),
    "mclaren2012": Reference(
        "McLaren et al., 2012",
        "McLaren DG, et al. (2012). A generalized form of context-dependent psychophysiological interactions (gPPI). "
        "NeuroImage 61:1277-1286.",
        "10.1016/j.neuroimage.2012.03.068",
    ),
    "mumford2015": Reference(
        "Mumford et al., 2015",
        "Mumford JA, Poline JB, Poldrack RA (2015). Orthogonalization of regressors in fMRI models. PLoS ONE "
        "10:e0126255.",
        "10.1371/journal.pone.0126255",
    ),
    "norbury2021": Reference(
        "Norbury et al., 2021",
        "Norbury A, et al. (2021). Neuroimaging correlates and predictors of response to repeated-dose intravenous "
        "ketamine in PTSD: preliminary evidence. Neuropsychopharmacology 46:2266-2277.",
        "10.1038/s41386-021-01104-4",
    ),
    "parkes2018": Reference(
        "Parkes et al., 2018",
        "Parkes L, et al. (2018). An evaluation of the efficacy, reliability, and sensitivity of motion correction "
        "strategies for resting-state functional MRI. NeuroImage 171:415-436.",
        "10.1016/j.neuroimage.2017.12.073",
    ),
    "politis1992": Reference(
        "Politis & Romano, 1992",
        "Politis DN, Romano JP (1992). A circular block-resampling procedure for stationary data. In: LePage R, "
        "Billard L (eds), Exploring the Limits of Bootstrap, 263-270. Wiley.",
        "",
    ),
    "power2012": Reference(
        "Power et al., 2012",
        "Power JD, et al. (2012). Spurious but systematic correlations in functional connectivity MRI networks arise "
        "from subject motion. NeuroImage 59:2142-2154.",
        "10.1016/j.neuroimage.2011.10.018",
    ),
    "power2014": Reference(
        "Power et al., 2014",
        "Power JD, et al. (2014). Methods to detect, characterize, and remove motion artifact in resting state fMRI. "
        "NeuroImage 84:320-341.",
        "10.1016/j.neuroimage.2013.08.048",
    ),
    "power2017": Reference(
        "Power, 2017",
        "Power JD (2017). A simple but useful way to assess fMRI scan qualities. NeuroImage 154:150-158.",
        "10.1016/j.neuroimage.2016.08.009",
    ),
    "zou2005": Reference(
        "Zou & Hastie, 2005",
        "Zou H, Hastie T (2005). Regularization and variable selection via the elastic net. J R Stat Soc B 67:301-320.",
        "10.1111/j.1467-9868.2005.00503.x",
    ),
}


class Citations:
    """Collects what a text cites, in the order of first mention."""

    def __init__(self, known: Mapping[str, Reference] = REFERENCES) -> None:
        self._known = known
        self._keys: list[str] = []

    def __call__(self, *keys: str) -> str:
        """Return works as a sentence has them in brackets."""
        self._keys += [key for key in keys if key not in self._keys]
        return "(" + "; ".join(self._known[key].short for key in keys) + ")"

    @property
    def references(self) -> tuple[Reference, ...]:
        """The works cited so far, by name and year."""
        return tuple(sorted((self._known[key] for key in self._keys), key=lambda reference: reference.full))
