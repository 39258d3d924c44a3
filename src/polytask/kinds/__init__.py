"""What a label is: one file a kind. How it is read, its loss, its prediction, its metrics.

A kind of your own is a frozen dataclass derived from `Kind`; `register` makes its name known.
"""

from polytask.kinds.binary import Binary as Binary
from polytask.kinds.count import Count as Count
from polytask.kinds.inference import infer_kind as infer_kind
from polytask.kinds.inference import infer_word_kind as infer_word_kind
from polytask.kinds.kind import Kind as Kind
from polytask.kinds.kind import Labels as Labels
from polytask.kinds.kind import fitted as fitted
from polytask.kinds.multiclass import Multiclass as Multiclass
from polytask.kinds.noise import Noise as Noise
from polytask.kinds.quantile import Quantile as Quantile
from polytask.kinds.registry import KINDS as KINDS
from polytask.kinds.registry import describe_kind as describe_kind
from polytask.kinds.registry import kind_from_record as kind_from_record
from polytask.kinds.registry import kind_to_record as kind_to_record
from polytask.kinds.registry import make_kind as make_kind
from polytask.kinds.registry import register as register
from polytask.kinds.registry import require_registered as require_registered
from polytask.kinds.regression import Regression as Regression
from polytask.kinds.tags import Tags as Tags
