"""What columns are to a model: numbers, categories, times, pictures; raw values -> one vector per example."""

from polytask.inputs.categories import Categories as Categories
from polytask.inputs.fitted import FittedInputs as FittedInputs
from polytask.inputs.frequent_values import FrequentValues as FrequentValues
from polytask.inputs.frequent_values import repeating as repeating
from polytask.inputs.history import KeyHistory as KeyHistory
from polytask.inputs.image import Image as Image
from polytask.inputs.image_columns import BadRowsError as BadRowsError
from polytask.inputs.input import Feature as Feature
from polytask.inputs.input import Input as Input
from polytask.inputs.joined import JoinedEncoder as JoinedEncoder
from polytask.inputs.joined import SingleInput as SingleInput
from polytask.inputs.numbers import Numbers as Numbers
from polytask.inputs.registry import INPUTS as INPUTS
from polytask.inputs.registry import register as register
from polytask.inputs.sequence import Sequences as Sequences
from polytask.inputs.text import Text as Text
from polytask.inputs.time import Time as Time
from polytask.inputs.word_vectors import WordInput as WordInput
