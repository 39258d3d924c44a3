"""Raw inputs -> one vector per example."""

from polytask.encoders.single import SingleInput
from polytask.encoders.table import Feature, FusedEmbedding, TabularEncoder, embedding_dim_for

__all__ = ["Feature", "FusedEmbedding", "SingleInput", "TabularEncoder", "embedding_dim_for"]
