"""Arms in a regression: linearmodels and statsmodels as oracles, jackknife by brute force, bad input."""

import numpy as np
import pytest

from cpi_experiments.errors import EstimationError
from cpi_experiments.stats.instruments.instrument_regression import instrument_effects, two_stage_least_squares
from cpi_experiments.stats.instruments.several_instruments import two_stage

Array = np.ndarray


@pytest.fixture
def drawn() -> dict[str, Array]:
    rng = np.random.default_rng(6)
    n = 240
    cluster = np.arange(n) % 12
    z = (rng.random((n, 2)) < 0.5).astype(float)
    w = rng.normal(size=(n, 2)) + 1e3
    shock = rng.normal(size=n) + rng.normal(size=12)[cluster]
    x = z @ [1.0, -0.5] + 0.3 * w[:, 0] + shock + rng.normal(size=n)
    y = 0.4 * x + 0.2 * w[:, 1] - shock * (1 + 0.3 * z[:, 0])
    return {"x": x, "y": y, "z": z, "w": w, "cluster": cluster}


@pytest.mark.parametrize(("variance", "kind"), [("iid", "unadjusted"), ("HC1", "robust")])
@pytest.mark.parametrize("k", [1, 2])
def test_two_stage_least_squares_is_linearmodels(drawn: dict[str, Array], variance: str, kind: str, k: int) -> None:
    iv = pytest.importorskip("linearmodels.iv")
    z, exog = drawn["z"][:, :k], np.column_stack([np.ones(len(drawn["y"])), drawn["w"] - 1e3])
    fit = iv.IV2SLS(drawn["y"], exog, drawn["x"], z).fit(cov_type=kind, debiased=True)
    found = two_stage_least_squares(drawn["y"], drawn["x"][:, None], z, covariates=drawn["w"], variance=variance)
    assert found.coefficients[0] == pytest.approx(fit.params.iloc[-1], rel=1e-8)
    assert found.std_errors[0] == pytest.approx(fit.std_errors.iloc[-1], rel=1e-8)
    assert found.df == fit.df_resid
    if k == 2:
        assert found.misfit == pytest.approx(fit.sargan.stat, rel=1e-8)
        assert found.p_value == pytest.approx(fit.sargan.pval, rel=1e-8)
    else:
        assert np.isnan(found.misfit)
    ratio = two_stage(instrument_effects(drawn["x"], drawn["y"], z, covariates=drawn["w"], variance=variance).joint)
    assert ratio[0] == pytest.approx(found.coefficients[0], rel=1e-8)
    assert ratio[1] == pytest.approx(found.std_errors[0], rel=1e-8 if k == 1 else 0.05)


def test_two_causes_are_linearmodels_too(drawn: dict[str, Array]) -> None:
    iv = pytest.importorskip("linearmodels.iv")
    causes = np.stack([drawn["x"] - 300, (drawn["y"] - 320) ** 2], axis=1)
    z = np.column_stack([drawn["z"], drawn["z"][:, 0] * (drawn["w"][:, 0] - 1e3)])
    fit = iv.IV2SLS(drawn["y"], np.ones((240, 1)), causes, z).fit(cov_type="unadjusted", debiased=True)
    found = two_stage_least_squares(drawn["y"], causes, z)
    assert found.coefficients == pytest.approx(fit.params.iloc[1:].to_numpy(), rel=1e-7)
    assert found.std_errors == pytest.approx(fit.std_errors.iloc[1:].to_numpy(), rel=1e-7)


@pytest.mark.parametrize(("variance", "kind"), [("iid", "nonrobust"), ("HC1", "HC1"), ("CR1", "cluster")])
def test_effects_of_the_instruments_are_least_squares(drawn: dict[str, Array], variance: str, kind: str) -> None:
    sm = pytest.importorskip("statsmodels.api")
    design = np.column_stack([drawn["z"], drawn["w"] - 1e3, np.ones(240)])
    groups = drawn["cluster"] if variance == "CR1" else None
    found = instrument_effects(
        drawn["x"], drawn["y"], drawn["z"], covariates=drawn["w"], cluster=groups, variance=variance
    )
    for a, (name, effects) in enumerate((("x", found.joint.first), ("y", found.joint.reduced))):
        more = {"cov_kwds": {"groups": groups}} if groups is not None else {}
        fit = sm.OLS(drawn[name], design).fit(cov_type=kind, **more)
        assert effects == pytest.approx(fit.params[:2], rel=1e-8)
        block = found.joint.omega[2 * a : 2 * a + 2, 2 * a : 2 * a + 2]
        assert block == pytest.approx(fit.cov_params()[:2, :2], rel=1e-7)


def test_the_joint_covariance_is_the_variance_of_every_mixture(drawn: dict[str, Array]) -> None:
    """The effect on y - t x has the variance that the blocks say, for each variance."""
    for variance, groups in (("iid", None), ("HC1", None), ("CR1", drawn["cluster"]), ("CR3", drawn["cluster"])):
        more = {"covariates": drawn["w"], "cluster": groups, "variance": variance}
        found = instrument_effects(drawn["x"], drawn["y"], drawn["z"], **more)
        for t in (-1.0, 0.5, 2.0):
            mixed = instrument_effects(drawn["x"], drawn["y"] - t * drawn["x"], drawn["z"], **more)
            assert found.joint.variance(t) == pytest.approx(mixed.joint.variance(0.0), rel=1e-8), variance


def test_cr3_leaves_out_one_cluster_at_a_time(drawn: dict[str, Array]) -> None:
    design = np.column_stack([drawn["z"], drawn["w"] - 1e3, np.ones(240)])

    def fit(keep: Array) -> Array:
        both = np.stack([drawn["x"], drawn["y"]], axis=1)[keep]
        return np.linalg.lstsq(design[keep], both, rcond=None)[0][:2].T.ravel()

    full = fit(np.ones(240, dtype=bool))
    moves = np.stack([fit(drawn["cluster"] != g) - full for g in range(12)])
    found = instrument_effects(
        drawn["x"], drawn["y"], drawn["z"], covariates=drawn["w"], cluster=drawn["cluster"], variance="CR3"
    )
    assert found.joint.omega == pytest.approx(11 / 12 * moves.T @ moves, rel=1e-6)
    assert (found.joint.df, found.n_clusters, found.variance) == (11.0, 12, "CR3")


def test_what_covariates_explain_wholly_has_no_variance(drawn: dict[str, Array]) -> None:
    found = instrument_effects(3 * drawn["w"][:, 0], drawn["y"], drawn["z"], covariates=drawn["w"])
    assert np.all(found.joint.omega[:2] == 0)
    assert found.joint.first == pytest.approx([0, 0], abs=1e-9)


def test_bad_input_is_named(drawn: dict[str, Array]) -> None:
    x, y, z, w = (drawn[name] for name in "xyzw")
    with pytest.raises(EstimationError, match="1 instruments for 2 causes"):
        two_stage_least_squares(y, np.stack([x, y], axis=1), z[:, :1])
    with pytest.raises(EstimationError, match="arm is constant"):
        instrument_effects(x, y, np.ones((240, 1)), names=["arm"])
    with pytest.raises(EstimationError, match="is an exact combination"):
        instrument_effects(x, y, z, covariates=z[:, :1] + 1, names=["a", "b", "c"])
    with pytest.raises(EstimationError, match="3 rows for 3 parameters"):
        instrument_effects(x[:3], y[:3], np.eye(3)[:, :2])
    lonely = np.where(np.arange(240) < 5, 1.0, 0.0)[:, None]
    cluster = np.where(np.arange(240) < 5, 99, drawn["cluster"])
    with pytest.raises(EstimationError, match="without one of the clusters"):
        instrument_effects(x, y, lonely, covariates=w, cluster=cluster, variance="CR3")
