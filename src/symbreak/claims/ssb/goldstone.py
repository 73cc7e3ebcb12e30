"""Evidence of ``ssb-goldstone``: bifurcation and Goldstone modes of the O(D)-symmetric potential.

A unit is one coupling (mu^2, lam) in one dimension D (and one seed of starting points).
Arms: ``broken`` (the paper's potential), ``stable`` (+mu^2, nothing may break) and ``explicit`` (with -h w_1).
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from symbreak.claims.evidence import Unit
from symbreak.claims.tables import Tables


def order_parameter(tables: Tables) -> list[Unit]:
    """Worst distance between measured |w*| and its formula, in units of mu/sqrt(lam)."""
    return _worst_radius(_sweep(tables, "broken"), "radius_theory")


def order_parameter_stable(tables: Tables) -> list[Unit]:
    """Largest |w*| of the potential that must not break, in units of mu/sqrt(lam)."""
    return _worst_radius(_sweep(tables, "stable").assign(zero=0.0), "zero")


def slope(tables: Tables) -> list[Unit]:
    """Slope of |w*|^2 against eta^2 below eta_c."""
    return _units(_below(_sweep(tables, "broken")), lambda t: _slope(t["eta"] ** 2, t["radius"] ** 2))


def slope_above(tables: Tables) -> list[Unit]:
    """Slope of |w*|^2 against eta^2 above eta_c."""
    return _units(_above(_sweep(tables, "broken")), lambda t: _slope(t["eta"] ** 2, t["radius"] ** 2))


def exponent(tables: Tables) -> list[Unit]:
    """Log-log slope of |w*| against eta_c - eta in the last 5 % below eta_c."""
    return _units(_near(tables, "broken"), _exponent)


def exponent_explicit(tables: Tables) -> list[Unit]:
    """The same with the strongest explicit breaking, which rounds the transition off."""
    table = _near(tables, "explicit")
    return _units(table[table["explicit"] == table["explicit"].max()], _exponent)


def critical_point(tables: Tables) -> list[Unit]:
    """Distance between the eta where the curvature at 0 changes its sign and 2 mu/sqrt(lam), relative to it."""
    return _units(_sweep(tables, "broken"), lambda t: float((t["eta_c"] / t["eta_c_theory"] - 1).abs().max()))


def critical_point_stable(tables: Tables) -> list[Unit]:
    """Number of sign changes of the curvature at 0 in the potential that must not break."""
    return _units(_sweep(tables, "stable"), lambda t: float(t["eta_c"].notna().max()))


def curvature_ratio(tables: Tables) -> list[Unit]:
    """Slope of the radial curvature against eta^2 below eta_c, divided by the slope above."""
    return _units(_sweep(tables, "broken"), _curvature_ratio)


def curvature_ratio_stable(tables: Tables) -> list[Unit]:
    """The same ratio, about the same eta, in the potential that must not break."""
    return _units(_sweep(tables, "stable"), _curvature_ratio)


def zero_modes(tables: Tables) -> list[Unit]:
    """Largest difference between the number of zero modes and D - 1 below eta_c."""
    below = _below(_sweep(tables, "broken"))
    return _units(below, lambda t: float((t["zero_modes"] - (t["dimension"] - 1)).abs().max()))


def zero_modes_absent(tables: Tables) -> list[Unit]:
    """Largest number of zero modes above eta_c, in the stable potential and with explicit breaking."""
    places = {
        "above eta_c": _above(_sweep(tables, "broken")),
        "stable": _sweep(tables, "stable"),
        "explicit": _sweep(tables, "explicit"),
    }
    return [u for place, t in places.items() for u in _units(t, lambda t: float(t["zero_modes"].max()), place)]


def massive(tables: Tables) -> list[Unit]:
    """Worst relative error of -2 m2 as the massive eigenvalue below eta_c."""
    below = _below(_sweep(tables, "broken"))
    return _units(below, lambda t: float((t["sigma_mass"] / (-2 * t["m2"]) - 1).abs().max()))


def massive_text(tables: Tables) -> list[Unit]:
    """Smallest relative error of the text's mu^2 (section 4) as the massive eigenvalue below eta_c."""
    below = _below(_sweep(tables, "broken"))
    return _units(below, lambda t: float((t["sigma_mass"] / t["text_sigma_mass"] - 1).abs().min()))


def pi_mass(tables: Tables) -> list[Unit]:
    """Largest |pi eigenvalue| below eta_c, as a fraction of the massive one."""
    below = _with_pi(_below(_sweep(tables, "broken")))
    return _units(below, lambda t: float((t["pi_mass"] / t["sigma_mass"]).abs().max()))


def pi_mass_explicit(tables: Tables) -> list[Unit]:
    """Smallest pi eigenvalue measured below eta_c under explicit breaking, as the same fraction."""
    below = _with_pi(_below(_sweep(tables, "explicit")))
    return _units(below, lambda t: float((t["pi_mass"] / t["sigma_mass"]).min()))


def explicit_mass(tables: Tables) -> list[Unit]:
    """Worst relative error of h/|w*| as the pi eigenvalue under explicit breaking."""
    explicit = _sweep(tables, "explicit")
    return _units(explicit, lambda t: float((t["pi_mass"] * t["radius"] / t["h"] - 1).abs().max()))


def _sweep(tables: Tables, arm: str) -> pd.DataFrame:
    return tables(arm, "potential").query("grid == 'sweep'")


def _near(tables: Tables, arm: str) -> pd.DataFrame:
    return tables(arm, "potential").query("grid == 'near'")


def _below(table: pd.DataFrame) -> pd.DataFrame:
    return table.query("eta < eta_c_theory")


def _above(table: pd.DataFrame) -> pd.DataFrame:
    return table.query("eta > eta_c_theory")


def _with_pi(table: pd.DataFrame) -> pd.DataFrame:
    """A single component has no tangential direction."""
    return table.query("dimension > 1")


def _groups(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for (seed, mu2, lam, dimension), group in table.groupby(["seed", "mu2", "lam", "dimension"]):
        yield f"mu2={mu2:g}, lam={lam:g}, D={dimension}, seed {seed}", group


def _units(table: pd.DataFrame, number: Callable[[pd.DataFrame], float], place: str = "") -> list[Unit]:
    return [Unit(f"{place}: {name}" if place else name, number(group)) for name, group in _groups(table)]


def _worst_radius(table: pd.DataFrame, theory: str) -> list[Unit]:
    """The error of the minimisation itself is handed on as the unit's."""
    scale = np.sqrt(table["mu2"] / table["lam"])
    scaled = table.assign(off=(table["radius"] - table[theory]).abs() / scale, error=table["radius_error"] / scale)
    return [Unit(name, float(g["off"].max()), error=float(g["error"].max())) for name, g in _groups(scaled)]


def _slope(x: pd.Series, y: pd.Series) -> float:
    return float(np.polynomial.polynomial.polyfit(x - x.mean(), y, 1)[1])


def _exponent(table: pd.DataFrame) -> float:
    logarithms = table.assign(x=np.log(table["eta_c"] - table["eta"]), y=np.log(table["radius"]))
    return _slope(logarithms["x"], logarithms["y"])


def _curvature_ratio(table: pd.DataFrame) -> float:
    below, above = (_slope(part["eta"] ** 2, part["sigma_mass"]) for part in (_below(table), _above(table)))
    return below / above
