"""The laws that a rule may claim to keep; the tests hold every rule to its claims."""

import enum


class Law(enum.Enum):
    """One claim about the update d, in the terms of the tasks' gradients g_i.

    Names as in Quinton and Rey (https://arxiv.org/abs/2406.16232) where the claim is theirs.

    >>> from polytask.balancing import PCGrad, UPGrad
    >>> Law.NON_CONFLICTING in UPGrad(3).laws, Law.NON_CONFLICTING in PCGrad(3).laws
    (True, False)
    """

    ANY_ORDER = "any order"
    """The order in which the tasks are listed changes nothing."""
    NON_CONFLICTING = "non-conflicting"
    """g_i.d >= 0 for all tasks, whatever the gradients."""
    DESCENDS_FOR_ALL = "descends for all"
    """g_i.d > 0 for all tasks, unless a convex combination of the gradients is zero."""
    SCALE_INVARIANT = "scale-invariant"
    """A factor on one task's loss does not change the direction of d."""
    LINEAR_UNDER_SCALING = "linear under scaling"
    """With factors c_i > 0 on the losses, d is linear in c."""


NEVER_AGAINST_A_TASK = frozenset({Law.ANY_ORDER, Law.NON_CONFLICTING, Law.DESCENDS_FOR_ALL})
