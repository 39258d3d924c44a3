"""Generated tables of the kinds that practitioners have, each the same bits for the same seed."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

Made = tuple[pd.DataFrame, tuple[str, ...]]


def robot_arm(num_rows: int = 20_000, *, seed: int = 0) -> Made:
    """Torques of an arm of three joints in a plane, from angles, velocities and accelerations.

    M(q) a + C(q, v) + g(q) of links with length 1, .8, .5 and a point mass at each end, by the
    Newton-Euler recursion, with friction of the joints and a little noise of measurement.
    """
    draw = np.random.default_rng(seed)
    angle, speed, push = (draw.normal(0, s, (num_rows, 3)) for s in (1.2, 1.0, 2.0))
    length, mass = np.array([1.0, 0.8, 0.5]), np.array([2.0, 1.5, 0.7])
    total = angle.cumsum(1)
    # Accelerations of the links' ends in the plane, summed up from the foot; gravity along y.
    turn, spin = push.cumsum(1), speed.cumsum(1)
    along = np.stack([np.cos(total), np.sin(total)], 2) * length[None, :, None]
    across = np.stack([-along[:, :, 1], along[:, :, 0]], 2)
    end = (turn[:, :, None] * across - spin[:, :, None] ** 2 * along).cumsum(1)
    force = mass[None, :, None] * (end + np.array([0.0, 9.81]))
    place = along.cumsum(1)
    start = place - along
    torque = np.empty((num_rows, 3))
    for joint in range(3):
        arm = place[:, joint:] - start[:, joint : joint + 1]
        pull = force[:, joint:]
        torque[:, joint] = (arm[:, :, 0] * pull[:, :, 1] - arm[:, :, 1] * pull[:, :, 0]).sum(1)
    torque += 0.5 * np.tanh(4 * speed) + 0.1 * draw.normal(size=torque.shape)
    columns = {f"{name}_{j}": x[:, j] for name, x in _named(angle, speed, push) for j in range(3)}
    labels = {f"torque_{j}": torque[:, j] for j in range(3)}
    return pd.DataFrame(columns | labels), tuple(f"{name}:regression" for name in labels)


def _named(
    angle: NDArray[np.float64], speed: NDArray[np.float64], push: NDArray[np.float64]
) -> list[tuple[str, NDArray[np.float64]]]:
    return [("angle", angle), ("speed", speed), ("push", push)]


def clinic(num_rows: int = 1_500, *, seed: int = 0) -> Made:
    """Laboratory values of patients, some of them missing because the patient seemed well.

    Three findings of one frailty, and the days in hospital, which are skewed.
    """
    draw = np.random.default_rng(seed)
    age = draw.normal(58, 16, num_rows).clip(18, 95).round()
    female = draw.random(num_rows) < 0.5
    frailty = 0.04 * (age - 58) + draw.normal(size=num_rows)
    factor = draw.normal(size=(num_rows, 4))
    labs = np.stack(
        [
            np.exp(1.0 + 0.4 * frailty + 0.5 * factor[:, 0]),
            90 + 12 * factor[:, 1] - 6 * (frailty > 1),
            np.exp(0.3 * factor[:, 2] + 0.2 * frailty),
            7.4 + 0.05 * factor[:, 3],
            13.5 - 1.2 * female - 0.6 * frailty + draw.normal(size=num_rows),
        ],
        1,
    )
    seems_well = expit(-0.8 - frailty)
    labs[draw.random(labs.shape) < 0.1 + 0.5 * seems_well[:, None]] = np.nan
    ward = draw.choice(["surgery", "medicine", "geriatrics", "outpatient"], num_rows)
    strain = frailty + 0.5 * (ward == "geriatrics") - 0.6 * (ward == "outpatient")
    frame = pd.DataFrame(labs, columns=["crp", "pulse", "creatinine", "ph", "haemoglobin"])
    frame = frame.assign(age=age, sex=np.where(female, "f", "m"), ward=ward)
    for name, start, extra in (
        ("sepsis", -2.4, factor[:, 0] + 0.3 * factor[:, 1]),
        ("kidney_injury", -1.6, 1.2 * factor[:, 2]),
        ("readmitted", -1.0, 0.2 * factor[:, 3]),
    ):
        frame[name] = (draw.random(num_rows) < expit(start + strain + extra)).astype(int)
    frame["days"] = np.exp(0.8 + 0.5 * strain + 0.6 * draw.normal(size=num_rows)).round(1)
    tasks = ("sepsis:binary", "kidney_injury:binary", "readmitted:binary", "days:regression")
    return frame, tasks


def campaign(num_rows: int = 40_000, *, seed: int = 0) -> Made:
    """E-mails to customers: visit (15 %), conversion (1 to 2 %), and spend, which is mostly nothing."""
    draw = np.random.default_rng(seed)
    months = draw.integers(1, 13, num_rows)
    history = np.exp(draw.normal(5, 0.9, num_rows)).round(2)
    newbie = draw.random(num_rows) < 0.5
    channel = draw.choice(["phone", "web", "both"], num_rows, p=[0.44, 0.44, 0.12])
    area = draw.choice(["rural", "suburban", "urban"], num_rows, p=[0.15, 0.45, 0.4])
    mail = draw.choice(["none", "mens", "womens"], num_rows)
    mens, womens = draw.random(num_rows) < 0.55, draw.random(num_rows) < 0.55
    fits = ((mail == "mens") & mens) | ((mail == "womens") & womens)
    wish = (
        -2.3 - 0.06 * months + 0.3 * (np.log(history) - 5) + 0.9 * fits + 0.3 * (mail != "none")
        - 0.4 * newbie + 0.3 * (channel == "web") + 0.4 * (area == "rural")
    )  # fmt: skip
    visit = draw.random(num_rows) < expit(wish)
    converts = visit & (draw.random(num_rows) < expit(-2.2 + 0.5 * fits + 0.4 * (channel == "web")))
    spend = converts * np.exp(4.2 + 0.25 * (np.log(history) - 5) + 0.8 * draw.normal(size=num_rows))
    frame = pd.DataFrame({"recency": months, "history": history, "newbie": newbie.astype(int)})
    frame = frame.assign(channel=channel, area=area, mail=mail, mens=mens * 1, womens=womens * 1)
    frame = frame.assign(visit=visit * 1, conversion=converts * 1, spend=spend.round(2))
    return frame, ("visit:binary", "conversion:binary", "spend:regression")


def counts(num_rows: int = 6_000, *, seed: int = 0) -> Made:
    """Hires of bicycles an hour by members and guests, Poisson and overdispersed; and whether it rains."""
    draw = np.random.default_rng(seed)
    hour, day = draw.integers(0, 24, num_rows), draw.integers(0, 7, num_rows)
    warmth = draw.normal(14, 8, num_rows).round(1)
    damp = draw.uniform(20, 100, num_rows).round()
    wind = draw.gamma(2, 4, num_rows).round(1)
    works = day < 5
    rush = np.exp(-(((hour - 8) / 1.5) ** 2)) + np.exp(-(((hour - 17.5) / 2) ** 2))
    noon = np.exp(-(((hour - 14) / 4) ** 2))
    mild = -(((warmth - 22) / 12) ** 2)
    rains = draw.random(num_rows) < expit(-4 + 0.05 * damp + 0.05 * wind)
    weather = 0.5 * mild - 0.8 * rains - 0.02 * wind
    member = np.exp(2.2 + 1.8 * np.where(works, rush, 0.4 * noon) + weather)
    guest = np.exp(1.2 + 1.6 * noon + 0.7 * ~works + 1.4 * weather)
    frame = pd.DataFrame({"hour": hour, "day": day, "warmth": warmth, "damp": damp, "wind": wind})
    frame["members"] = draw.poisson(member)
    frame["guests"] = draw.poisson(guest * draw.gamma(3, 1 / 3, num_rows))
    frame["rain"] = rains.astype(int)
    return frame, ("members:count", "guests:count", "rain:binary")


def heavy_tails(num_rows: int = 8_000, *, seed: int = 0) -> Made:
    """Costs of claims: log-normal, Pareto and with a heap at zero, of one risk."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(num_rows, 6))
    region = draw.choice(list("abcdefgh"), num_rows)
    effect = dict(zip("abcdefgh", draw.normal(0, 0.4, 8), strict=True))
    place = np.array([effect[r] for r in region])
    risk = 0.6 * x[:, 0] + 0.5 * np.sin(2 * x[:, 1]) + 0.4 * x[:, 2] * x[:, 3] + place
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(6)]).assign(region=region)
    frame["repair"] = np.exp(5 + risk + 0.5 * draw.normal(size=num_rows)).round(2)
    frame["injury"] = (np.exp(3 + 0.8 * risk) * (draw.pareto(3.0, num_rows) + 1)).round(2)
    happens = draw.random(num_rows) < expit(-1 + risk)
    frame["legal"] = (happens * np.exp(4 + 0.7 * risk + 0.6 * draw.normal(size=num_rows))).round(2)
    frame["claims"] = happens.astype(int)
    return frame, ("repair:regression", "injury:regression", "legal:regression", "claims:binary")
