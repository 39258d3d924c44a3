"""The built-in data: a log of a short-video app that never was."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import expit, ndtri

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NUM_USERS = 5000
NUM_VIDEOS = 2000
NUM_AUTHORS = 400
_LATENT = 4
"""The width of a taste or style; the first half decides clicks, all of it decides likes."""
_DAYS = 14
FIRST_MS = 1_735_689_600_000
"""1 January 2025, 00:00 UTC."""
DAY_MS = 86_400_000

_AGE_GROUPS = ("under 18", "18-24", "25-34", "35-44", "45-54", "55 and over")
_AGE_SHARES = (0.12, 0.28, 0.26, 0.17, 0.11, 0.06)
_CATEGORIES = (
    *("animals", "beauty", "comedy", "cooking", "dance", "fashion"),
    *("fitness", "games", "music", "news", "sports", "travel"),
)
_TABS = ("for you", "following", "search", "nearby")
_TAB_SHARES = (0.7, 0.14, 0.06, 0.1)
_TAB_EFFECTS = np.array([0.0, 0.5, 0.8, -0.5])
_DEVICES = ("android", "ios", "tablet")
_DEVICE_SHARES = (0.62, 0.32, 0.06)
_HOUR_SHARES = np.array(
    [3, 2, 1, 1, 1, 1, 2, 4, 5, 4, 4, 5, 7, 6, 4, 4, 4, 5, 7, 8, 10, 11, 9, 6], dtype=np.float64
)


def short_video_log(num_rows: int = 200_000, *, seed: int = 0) -> pa.Table:
    """A log of impressions in time order; the same bits for the same arguments.

    Users u and videos v (of authors a(v)) are drawn by Zipf's law. Tastes p and styles q lie
    around the centre of the user's age group or the video's category, so that a model knows
    something of a pair that it has not seen, and more of one that it has:

        p_u = A[age_group_u] + noise,    q_v = C[category_v] + own style of a(v) + noise
        s   = <p_u, q_v> over the first half of the dimensions, s' over the second, of variance about 1
        click          ~ sigmoid(-0.3 + 1.2 s + appeal_v + eager_u + tab + evening
                                 - 0.25 log(duration/25 s) - 0.2 log(1 + days since upload))
        like | click   ~ sigmoid(-3.3 + 0.9 s + 0.7 s' + 0.5 appeal_v + kind_u)
        follow | click ~ sigmoid(-3.6 + 0.8 s + 0.9 charm_a(v) + kind_u - 0.15 log(1 + followed_u))
        watch | click  = duration exp(-0.5 + 0.35 s + 0.2 appeal_v + 0.6 noise) (1 - U)^(-1/3),
                         at most 1800 s; 0 s without a click

    The last factor gives watch_seconds a Pareto tail. Likes and follows need a click and share s
    with it, and are too rare to find s by themselves. 6 % of the ages are missing.

    >>> short_video_log(1000).select(["user_id", "click", "watch_seconds"]).shape
    (1000, 3)
    """
    if num_rows < 1:
        raise ValueError(f"num_rows must be positive, but {num_rows=}")
    draw = _Draw(np.random.Generator(np.random.PCG64(seed)))
    users, videos = _Users(draw), _Videos(draw)
    time_ms = _make_times(draw, num_rows)
    tab = draw.choice(np.array(_TAB_SHARES), num_rows)
    user_B = draw.choice(users.weight, num_rows)
    video_B = draw.choice(videos.weight, num_rows)
    log = _Impressions(users, videos, time_ms, tab, user_B, video_B)
    return pa.table(log.features() | log.outcomes(draw))


@dataclass(frozen=True, slots=True)
class _Draw:
    """Random numbers from uniform ones alone, whose stream numpy promises never to change."""

    generator: np.random.Generator

    def uniform(self, *shape: int) -> Floats:
        """In (0, 1), both ends excluded."""
        return np.maximum(self.generator.random(shape), 2.0**-60)

    def normal(self, *shape: int) -> Floats:
        values: Floats = ndtri(self.uniform(*shape))
        return values

    def choice(self, weights: Floats, size: int) -> Integers:
        """Positions drawn in proportion to the weights."""
        cumulative = np.cumsum(weights)
        return np.searchsorted(cumulative[:-1] / cumulative[-1], self.uniform(size), side="right")

    def holds(self, logit_B: Floats) -> NDArray[np.int8]:
        """1 with a probability of sigmoid(logit), else 0."""
        happens_B: NDArray[np.bool_] = self.uniform(len(logit_B)) < expit(logit_B)
        return happens_B.astype(np.int8)

    def zipf(self, size: int, exponent: float) -> Floats:
        """Weights 1, 2^-exponent, 3^-exponent, ... in random order."""
        weights = np.arange(1, size + 1, dtype=np.float64) ** -exponent
        return weights[np.argsort(self.uniform(size), kind="stable")]


class _Users:
    """What is drawn for each user once."""

    def __init__(self, draw: _Draw) -> None:
        self.age_group = draw.choice(np.array(_AGE_SHARES), NUM_USERS)
        centres = draw.normal(len(_AGE_GROUPS), _LATENT)
        self.weight = draw.zipf(NUM_USERS, 0.6)
        self.age_is_known = draw.uniform(NUM_USERS) > 0.06
        self.taste = 0.9 * centres[self.age_group] + 0.45 * draw.normal(NUM_USERS, _LATENT)
        self.eager = 0.7 * draw.normal(NUM_USERS)
        self.kind = 0.6 * draw.normal(NUM_USERS)
        self.device = draw.choice(np.array(_DEVICE_SHARES), NUM_USERS)
        followed = np.floor(np.exp(3.0 + 1.3 * draw.normal(NUM_USERS)))
        self.followed = followed.astype(np.int64)
        registered = np.floor(2000 * draw.uniform(NUM_USERS) ** 2)
        self.registered_days = 1 + registered.astype(np.int64)


class _Videos:
    """What is drawn for each video once."""

    def __init__(self, draw: _Draw) -> None:
        self.author = draw.choice(draw.zipf(NUM_AUTHORS, 0.7), NUM_VIDEOS)
        usual = draw.choice(np.ones(len(_CATEGORIES)), NUM_AUTHORS)
        other = draw.choice(np.ones(len(_CATEGORIES)), NUM_VIDEOS)
        is_usual = draw.uniform(NUM_VIDEOS) < 0.75
        self.category = np.where(is_usual, usual[self.author], other)
        centres = draw.normal(len(_CATEGORIES), _LATENT)
        of_author = draw.normal(NUM_AUTHORS, _LATENT)
        style = 0.85 * centres[self.category] + 0.4 * of_author[self.author]
        seconds = np.exp(np.log(25.0) + 0.8 * draw.normal(NUM_VIDEOS))
        age_ms = np.floor(60 * DAY_MS * draw.uniform(NUM_VIDEOS) ** 2).astype(np.int64)
        self.weight = draw.zipf(NUM_VIDEOS, 0.8)
        self.style = style + 0.35 * draw.normal(NUM_VIDEOS, _LATENT)
        self.appeal = 0.6 * draw.normal(NUM_VIDEOS)
        self.charm = draw.normal(NUM_AUTHORS)[self.author]
        self.duration = np.clip(np.round(seconds, 1), 3.0, 300.0)
        self.upload_ms = FIRST_MS - age_ms


@dataclass(frozen=True, slots=True, eq=False)
class _Impressions:
    """Who saw which video when and where."""

    users: _Users
    videos: _Videos
    time_ms: Integers
    tab: Integers
    user_B: Integers
    video_B: Integers

    @property
    def hour(self) -> Integers:
        return (self.time_ms - FIRST_MS) // 3_600_000 % 24

    @property
    def since_upload_ms(self) -> Integers:
        return self.time_ms - self.videos.upload_ms[self.video_B]

    def features(self) -> dict[str, Integers | Floats | pa.Array]:
        users, videos, user_B, video_B = self.users, self.videos, self.user_B, self.video_B
        return {
            "time_ms": self.time_ms,
            "user_id": user_B,
            "age_group": _text(users.age_group[user_B], _AGE_GROUPS, users.age_is_known[user_B]),
            "device": _text(users.device[user_B], _DEVICES),
            "followed_authors": users.followed[user_B],
            "registered_days": users.registered_days[user_B],
            "video_id": video_B,
            "author_id": videos.author[video_B],
            "category": _text(videos.category[video_B], _CATEGORIES),
            "duration_seconds": videos.duration[video_B],
            "hours_since_upload": self.since_upload_ms // 3_600_000,
            "hour": self.hour,
            "tab": _text(self.tab, _TABS),
        }

    def outcomes(self, draw: _Draw) -> dict[str, NDArray[np.int8] | Floats]:
        """What follows, by the formulas of `short_video_log`."""
        users, videos, user_B, video_B = self.users, self.videos, self.user_B, self.video_B
        half = _LATENT // 2
        products = users.taste[user_B] * videos.style[video_B] / np.sqrt(half)
        s, s_other = products[:, :half].sum(axis=1), products[:, half:].sum(axis=1)
        appeal, kind = videos.appeal[video_B], users.kind[user_B]
        evening = 0.2 * ((self.hour >= 19) & (self.hour <= 23))
        freshness = -0.2 * np.log1p(self.since_upload_ms / DAY_MS)
        setting = _TAB_EFFECTS[self.tab] + evening + freshness
        length = -0.25 * np.log(videos.duration[video_B] / 25.0)
        few_followed = -0.15 * np.log1p(users.followed[user_B])

        click = draw.holds(-0.3 + 1.2 * s + appeal + users.eager[user_B] + setting + length)
        share = np.exp(-0.5 + 0.35 * s + 0.2 * appeal + 0.6 * draw.normal(len(user_B)))
        tail = draw.uniform(len(user_B)) ** (-1 / 3)
        watched = np.minimum(videos.duration[video_B] * share * tail, 1800.0)
        like = draw.holds(-3.3 + 0.9 * s + 0.7 * s_other + 0.5 * appeal + kind)
        charm = videos.charm[video_B]
        follow = draw.holds(-3.6 + 0.8 * s + 0.9 * charm + kind + few_followed)
        return {
            "click": click,
            "like": click & like,
            "follow": click & follow,
            "watch_seconds": np.where(click == 1, np.round(watched, 1), 0.0),
        }


def _make_times(draw: _Draw, num_rows: int) -> Integers:
    day = draw.choice(np.ones(_DAYS), num_rows)
    hour = draw.choice(_HOUR_SHARES, num_rows)
    within = np.floor(draw.uniform(num_rows) * 3_600_000).astype(np.int64)
    return np.sort(FIRST_MS + day * DAY_MS + hour * 3_600_000 + within)


def _text(
    code_B: Integers, values: tuple[str, ...], known_B: NDArray[np.bool_] | None = None
) -> pa.DictionaryArray:
    indices = pa.array(code_B.astype(np.int32), mask=None if known_B is None else ~known_B)
    return pa.DictionaryArray.from_arrays(indices, pa.array(values))
