"""Works that an experiment's methods may cite, by key, beside those on how features are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from predictor.report.references import REFERENCES, Reference

TRAINING_REFERENCES: Final[Mapping[str, Reference]] = {
    "besag1991": Reference(
        "Besag & Clifford, 1991",
        "Besag J, Clifford P (1991). Sequential Monte Carlo p-values. Biometrika 78:301-304.",
        "10.1093/biomet/78.2.301",
    ),
    "chernozhukov2018": Reference(
        "Chernozhukov et al., 2018",
        "Chernozhukov V, et al. (2018). Generic machine learning inference on heterogeneous treatment effects in "
        "randomized experiments. NBER working paper 24678.",
        "10.3386/w24678",
    ),
    "cohen1988": Reference(
        "Cohen, 1988",
        "Cohen J (1988). Statistical power analysis for the behavioral sciences, 2nd edition. Erlbaum.",
        "",
    ),
    "collins2024": Reference(
        "Collins et al., 2024",
        "Collins GS, et al. (2024). TRIPOD+AI statement: updated guidance for reporting clinical prediction models "
        "that use regression or machine learning methods. BMJ 385:e078378.",
        "10.1136/bmj-2023-078378",
    ),
    "crawford1998": Reference(
        "Crawford & Howell, 1998",
        "Crawford JR, Howell DC (1998). Comparing an individual's test score against norms derived from small samples. "
        "Clin Neuropsychol 12:482-486.",
        "10.1076/clin.12.4.482.7241",
    ),
    "freedman1983": Reference(
        "Freedman & Lane, 1983",
        "Freedman D, Lane D (1983). A nonstochastic interpretation of reported significance levels. J Bus Econ Stat "
        "1:292-298.",
        "",
    ),
    "johnson2007": Reference(
        "Johnson et al., 2007",
        "Johnson WE, Li C, Rabinovic A (2007). Adjusting batch effects in microarray expression data using empirical "
        "Bayes methods. Biostatistics 8:118-127.",
        "10.1093/biostatistics/kxj037",
    ),
    "kunzel2019": Reference(
        "Künzel et al., 2019",
        "Künzel SR, et al. (2019). Metalearners for estimating heterogeneous treatment effects using machine learning. "
        "PNAS 116:4156-4165.",
        "10.1073/pnas.1804597116",
    ),
    "nadeau2003": Reference(
        "Nadeau & Bengio, 2003",
        "Nadeau C, Bengio Y (2003). Inference for the generalization error. Mach Learn 52:239-281.",
        "10.1023/A:1024068626366",
    ),
    "pedregosa2011": Reference(
        "Pedregosa et al., 2011",
        "Pedregosa F, et al. (2011). Scikit-learn: machine learning in Python. J Mach Learn Res 12:2825-2830.",
        "",
    ),
    "poldrack2020": Reference(
        "Poldrack et al., 2020",
        "Poldrack RA, Huckins G, Varoquaux G (2020). Establishment of best practices for evidence for prediction: a "
        "review. JAMA Psychiatry 77:534-540.",
        "10.1001/jamapsychiatry.2019.3671",
    ),
    "shen2017": Reference(
        "Shen et al., 2017",
        "Shen X, et al. (2017). Using connectome-based predictive modeling to predict individual behavior from brain "
        "connectivity. Nat Protoc 12:506-518.",
        "10.1038/nprot.2016.178",
    ),
    "simonsohn2020": Reference(
        "Simonsohn et al., 2020",
        "Simonsohn U, Simmons JP, Nelson LD (2020). Specification curve analysis. Nat Hum Behav 4:1208-1214.",
        "10.1038/s41562-020-0912-z",
    ),
    "steegen2016": Reference(
        "Steegen et al., 2016",
        "Steegen S, Tuerlinckx F, Gelman A, Vanpaemel W (2016). Increasing transparency through a multiverse analysis. "
        "Perspect Psychol Sci 11:702-712.",
        "10.1177/1745691616658637",
    ),
    "tibshirani1996": Reference(
        "Tibshirani, 1996",
        "Tibshirani R (1996). Regression shrinkage and selection via the lasso. J R Stat Soc B 58:267-288.",
        "10.1111/j.2517-6161.1996.tb02080.x",
    ),
    "vancalster2016": Reference(
        "Van Calster et al., 2016",
        "Van Calster B, et al. (2016). A calibration hierarchy for risk models was defined: from utopia to empirical "
        "data. J Clin Epidemiol 74:167-176.",
        "10.1016/j.jclinepi.2015.12.005",
    ),
    "vanklaveren2018": Reference(
        "van Klaveren et al., 2018",
        "van Klaveren D, et al. (2018). The proposed 'concordance-statistic for benefit' provided a useful metric when "
        "modeling heterogeneous treatment effects. J Clin Epidemiol 94:59-68.",
        "10.1016/j.jclinepi.2017.10.021",
    ),
    "varoquaux2018": Reference(
        "Varoquaux, 2018",
        "Varoquaux G (2018). Cross-validation failure: small sample sizes lead to large error bars. NeuroImage "
        "180:68-77.",
        "10.1016/j.neuroimage.2017.06.061",
    ),
    "vickers2006": Reference(
        "Vickers & Elkin, 2006",
        "Vickers AJ, Elkin EB (2006). Decision curve analysis: a novel method for evaluating prediction models. Med "
        "Decis Making 26:565-574.",
        "10.1177/0272989X06295361",
    ),
    "winkler2014": Reference(
        "Winkler et al., 2014",
        "Winkler AM, et al. (2014). Permutation inference for the general linear model. NeuroImage 92:381-397.",
        "10.1016/j.neuroimage.2014.01.060",
    ),
    "winkler2015": Reference(
        "Winkler et al., 2015",
        "Winkler AM, et al. (2015). Multi-level block permutation. NeuroImage 123:253-268.",
        "10.1016/j.neuroimage.2015.05.092",
    ),
}
ALL_REFERENCES: Final[Mapping[str, Reference]] = {**REFERENCES, **TRAINING_REFERENCES}
