"""scikit-learn's face of `polytask.fit`: one model for several columns of labels, as an estimator.

Needs scikit-learn, which polytask itself does without: `pip install 'polytask[sklearn]'`.
"""

try:
    from sklearn.utils.validation import validate_data as _validate_data  # noqa: F401
except ImportError as error:
    raise ImportError(
        "polytask.sklearn needs scikit-learn 1.6 or newer: pip install 'polytask[sklearn]'"
    ) from error

from polytask.sklearn.estimators import MultiTaskClassifier, MultiTaskEstimator, MultiTaskRegressor

__all__ = ["MultiTaskClassifier", "MultiTaskEstimator", "MultiTaskRegressor"]
