"""Which losses reach which parameter: read off the autograd graph, never declared."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from torch import Tensor
from torch.autograd.graph import Node, get_gradient_edge

from polytask.balancing.measurement import Losses

Tasks: TypeAlias = frozenset[int]
Edge: TypeAlias = tuple[Node | None, int]

# Operations that hand a parameter on to the layer that uses it, without being a layer themselves.
_VIEWS_AND_CASTS = frozenset(
    f"{name}Backward{version}"
    for name in (
        *("T", "Transpose", "Permute", "View", "ReshapeAlias", "UnsafeView", "Expand", "Clone"),
        *("ToCopy", "Select", "Slice", "Unsqueeze", "Squeeze", "Unbind", "Split", "Alias"),
    )
    for version in (0, 1)
)
_LOOKUPS = ("Embedding", "IndexSelect", "IndexBackward", "Gather")
_JOINS = ("StackBackward", "CatBackward")
_COMPILED = "CompiledFunctionBackward"


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """The losses that reach each leaf (a parameter, or an input that requires a gradient).

    `nodes` are where the leaves' gradients end, `consumers` the operations that read a leaf directly, `reached` the losses of every node, in an
    order in which a node stands before all that it was computed from; `cut` are the losses of every
    seam tensor above which the walk stayed.

    >>> from polytask.balancing import reach
    >>> x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    >>> [leaf is x for leaf in reach([(x * y).sum(), x.sum()]).shared()]
    [True]
    """

    leaves: dict[Tensor, Tasks]
    nodes: dict[Tensor, Node]
    consumers: dict[Tensor, tuple[Node, ...]]
    reached: dict[Node, Tasks]
    cut: dict[Edge, Tasks]

    def of(self, leaf: Tensor) -> Tasks:
        return self.leaves.get(leaf, frozenset())

    def shared(self) -> list[Tensor]:
        """The leaves that two or more losses reach."""
        return [leaf for leaf, tasks in self.leaves.items() if len(tasks) >= 2]

    def private(self) -> list[Tensor]:
        """The leaves that one loss alone reaches."""
        return [leaf for leaf, tasks in self.leaves.items() if len(tasks) == 1]

    def is_table(self, leaf: Tensor) -> bool:
        """Whether the leaf is read by looking up rows only, as an embedding is."""
        consumers = self.consumers[leaf]
        return bool(consumers) and all(_is_lookup(node) for node in consumers)

    def tables(self) -> set[Tensor]:
        return {leaf for leaf in self.leaves if self.is_table(leaf)}


def reach(losses: Losses, *, above: Sequence[Tensor] = ()) -> Reach:
    """Which of the losses reach which leaves; `above` a seam only, if there is one.

    >>> from polytask.balancing import reach
    >>> x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    >>> found = reach([(x * y).sum(), x.sum()])
    >>> sorted(found.of(x)), sorted(found.of(y))
    ([0, 1], [0])
    """
    roots = {task: edge_of(loss) for task, loss in enumerate(losses) if loss is not None}
    stops: set[Edge] = {edge_of(tensor) for tensor in above if tensor.requires_grad}
    order = _topological_order(roots.values(), stops)
    # A bit a task: sets of tasks, made once for each that occurs, would be most of the walk.
    masks = dict.fromkeys(order, 0)
    for task, edge in roots.items():
        if edge not in stops:
            masks[edge[0]] |= 1 << task
    consumers: dict[Node, list[Node]] = {}
    cut: dict[Edge, int] = {}
    for node in order:
        for below in node.next_functions:
            if below in stops:
                cut[below] = cut.get(below, 0) | masks[node]
            elif below[0] is not None:
                masks[below[0]] |= masks[node]
                consumers.setdefault(below[0], []).append(node)
    sets = {mask: _tasks_of(mask) for mask in {*masks.values(), *cut.values()}}
    leaf_nodes = [(node, node.variable) for node in order if hasattr(node, "variable")]
    return Reach(
        leaves={leaf: sets[masks[node]] for node, leaf in leaf_nodes},
        nodes={leaf: node for node, leaf in leaf_nodes},
        consumers={leaf: tuple(consumers.get(node, ())) for node, leaf in leaf_nodes},
        reached={node: sets[mask] for node, mask in masks.items()},
        cut={edge: sets[mask] for edge, mask in cut.items()},
    )


def _tasks_of(mask: int) -> Tasks:
    return frozenset(task for task in range(mask.bit_length()) if mask >> task & 1)


def leaves_below(seam: Sequence[Tensor]) -> set[Tensor]:
    """The leaves that the seam was computed from; ValueError if one seam tensor led to another."""
    edges: list[Edge] = [edge_of(tensor) for tensor in seam if tensor.requires_grad]
    order = _topological_order(edges)
    for node in order:
        for edge in node.next_functions:
            if edge in edges:
                raise ValueError(
                    f"seam tensor {edges.index(edge)} is an ancestor of another seam tensor, so its "
                    "gradient would count twice; take seam = tuple(s.view_as(s) for s in share(x))"
                )
    return {node.variable for node in order if hasattr(node, "variable")}


def leaves_under(edges: Iterable[Edge]) -> list[Tensor]:
    """The leaves that any of these were computed from, in an order that the graph alone decides."""
    return [node.variable for node in _topological_order(edges) if hasattr(node, "variable")]


def last_shared_layer(losses: Losses, *, seam: Sequence[Tensor] = ()) -> list[Tensor]:
    """The shared parameters that act last: GradNorm's W (Chen et al., ICML 2018, section 3.1).

    https://arxiv.org/abs/1711.02257

    Shared are, here, the parameters that as many losses reach as reach any (below the seam, if one
    is given; embedding tables excepted). One of them is last if no loss reaches the operation that
    reads it through another that reads a shared one. A Linear before the heads gives its weight and
    bias, parallel experts the last layer of each. Empty if nothing is shared.

    >>> from polytask.balancing import last_shared_layer
    >>> first, last = torch.nn.Linear(3, 3), torch.nn.Linear(3, 2, bias=False)
    >>> outputs = last(first(torch.ones(1, 3)))[0]
    >>> [layer is last.weight for layer in last_shared_layer([outputs[0], outputs[1]])]
    [True]
    """
    graph = reach(losses)
    below = leaves_below(seam) if seam else graph.leaves
    num_losses = {
        leaf: len(graph.leaves[leaf])
        for leaf in graph.shared()
        if leaf in below and not graph.is_table(leaf)
    }
    most = max(num_losses.values(), default=0)
    shared = {leaf for leaf, number in num_losses.items() if number == most}
    last: dict[Tensor, None] = {}
    passed: set[Node] = set()
    for node in graph.reached:
        read = [leaf for leaf in _read_directly(node) if leaf in shared]
        if node not in passed:
            last.update(dict.fromkeys(read))
        if read or node in passed:
            passed.update(_children(node))
    return list(last)


def branches_of_joined_losses(reached: Reach, losses: Losses) -> list[list[Tensor]]:
    """What each part of a stack or cat alone was computed from, if losses exist only behind it.

    Losses are suspected of having been stacked if two or more reach no leaf but through one joining
    operation whose parts have leaves of their own. Empty if there is no such operation.
    """
    if not any(_joins_losses(node, tasks) for node, tasks in reached.reached.items()):
        return []
    roots = [edge_of(loss)[0] for loss in losses if loss is not None]
    behind = Counter(join for root in roots if (join := _only_join(root, reached)) is not None)
    for join, num_losses in behind.items():
        own = _own_leaves([child for child in _children(join) if child in reached.reached])
        if num_losses >= 2 and sum(bool(leaves) for leaves in own) >= 2:
            return [[leaf for leaf in leaves if leaf in reached.leaves] for leaves in own if leaves]
    return []


def compiled_together(losses: Losses, graph: Reach) -> bool:
    """Whether losses read different outputs of one operation that torch.compile made."""
    if all(node.name() != _COMPILED for node in graph.reached):
        return False
    readers: dict[Node, dict[int, Tasks]] = {}
    read: list[tuple[Edge, Tasks]] = [
        (edge_of(loss), frozenset({task})) for task, loss in enumerate(losses) if loss is not None
    ]
    read += [(edge, tasks) for node, tasks in graph.reached.items() for edge in node.next_functions]
    for (node, output), tasks in read:
        if node is not None and node.name() == _COMPILED and node in graph.reached:
            outputs = readers.setdefault(node, {})
            outputs[output] = outputs.get(output, frozenset()) | tasks
    return any(len(set(outputs.values())) > 1 for outputs in readers.values())


def _only_join(root: Node, reached: Reach) -> Node | None:
    """The one joining operation through which this loss reaches all its leaves, if there is one."""
    joins: set[Node] = set()
    seen, waiting = {root}, [root]
    while waiting:
        node = waiting.pop()
        if hasattr(node, "variable"):
            return None
        if _joins_losses(node, reached.reached[node]):
            joins.add(node)
            continue
        fresh = [child for child in _children(node) if child in reached.reached]
        fresh = [child for child in fresh if child not in seen]
        seen.update(fresh)
        waiting.extend(fresh)
    return joins.pop() if len(joins) == 1 else None


def _joins_losses(node: Node, tasks: Tasks) -> bool:
    return len(tasks) >= 2 and node.name().startswith(_JOINS)


def _own_leaves(parts: Iterable[Node]) -> list[list[Tensor]]:
    """For each part, the leaves that it alone was computed from."""
    found = [leaves_under([(part, 0)]) for part in parts]
    counts = Counter(chain.from_iterable(found))
    return [[leaf for leaf in leaves if counts[leaf] == 1] for leaves in found]


def _read_directly(node: Node) -> Iterator[Tensor]:
    """The leaves that an operation reads, bare or through views and casts."""
    for child in _children(node):
        while child.name() in _VIEWS_AND_CASTS:
            child = next(_children(child))
        if hasattr(child, "variable"):
            yield child.variable
    if hasattr(node, "variable"):
        yield node.variable


def _is_lookup(node: Node) -> bool:
    """Whether a node takes rows from one leaf and depends on nothing else."""
    name = node.name()
    return any(word in name for word in _LOOKUPS) and len(list(_children(node))) == 1


def edge_of(tensor: Tensor) -> tuple[Node, int]:
    made_by = tensor.grad_fn
    if made_by is not None:
        return made_by, tensor.output_nr
    edge = get_gradient_edge(tensor)
    return edge.node, edge.output_nr


def _children(node: Node) -> Iterator[Node]:
    return (child for child, _ in node.next_functions if child is not None)


def _topological_order(roots: Iterable[Edge], stops: Container[Edge] = ()) -> list[Node]:
    """All nodes below the roots, each before everything that it was computed from."""
    finished: list[Node] = []
    seen: set[Node] = set()
    waiting: list[tuple[Node | None, Iterator[Edge]]] = [(None, iter(roots))]
    while waiting:
        node, edges = waiting[-1]
        for edge in edges:
            child = edge[0]
            if child is not None and child not in seen and edge not in stops:
                seen.add(child)
                waiting.append((child, iter(child.next_functions)))
                break
        else:
            waiting.pop()
            if node is not None:
                finished.append(node)
    return finished[::-1]
