"""A recurrent network on a graph: every node has a state, and hears its neighbours' states before each step."""

import numpy as np
from numpy import add, multiply

from rnnlab.cells import RNNCell, RNNTape
from rnnlab.tapes import transposed


def normalized(adjacency):
    """Return D^(-1/2) (A + I) D^(-1/2), with D the degrees of A + I: each node beside its neighbours, spectral norm 1.

    Args:
        adjacency: (N, N), symmetric, at least 0; 1 where two nodes are joined.

    Source: Kipf and Welling (2017), equation 2.

    >>> normalized(np.array([[0, 1], [1, 0]]))
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    adjacency = np.asarray(adjacency, dtype=np.float64)
    if adjacency.ndim != 2 or adjacency.shape[0] != adjacency.shape[1] or len(adjacency) == 0:
        raise ValueError(f"expected a square matrix of N nodes, got shape {adjacency.shape}")
    if not np.array_equal(adjacency, adjacency.T) or not (adjacency >= 0).all() or not np.isfinite(adjacency).all():
        raise ValueError("expected a symmetric matrix of finite numbers of at least 0: edges without a direction")
    with_self = adjacency + np.eye(len(adjacency))
    scale = 1 / np.sqrt(with_self.sum(axis=1))
    return scale[:, None] * with_self * scale


class GraphRNNCell(RNNCell):
    """Describe a recurrence over a graph: H_t = f(P H_{t-1} W_hh^T + X_t W_ih^T + b), one row for each node.

    The sequences of a batch are the nodes, B = N, and between two steps they hear each other: P mixes their states.
    After T steps a node has heard of all that are at most T - 1 edges away.

    Args:
        input_size, hidden_size, nonlinearity: as for `RNNCell`.
        graph: P (N, N), such as `normalized(adjacency)`.

    Source: Scarselli et al. (2009), with the mixing of Kipf and Welling (2017).

    >>> cell = GraphRNNCell(2, 3, graph=normalized(np.ones((4, 4))))
    >>> cell
    GraphRNNCell(2, 3, nonlinearity='tanh', graph=4 nodes)
    """

    def __init__(self, input_size, hidden_size, graph, nonlinearity="tanh"):
        super().__init__(input_size, hidden_size, nonlinearity)
        graph = np.array(graph, dtype=np.float64)
        if graph.ndim != 2 or graph.shape[0] != graph.shape[1] or len(graph) == 0 or not np.isfinite(graph).all():
            raise ValueError(f"expected graph to be a square matrix of finite numbers, got shape {graph.shape}")
        self.graph = graph

    @property
    def options(self):
        return {**super().options, "graph": Nodes(self.graph)}

    def tape(self, T, B, *layout):
        """Make the arrays in which a sequence is recorded; see `Tape` for the arguments."""
        if len(self.graph) != B:
            raise ValueError(f"expected one sequence for each of the {len(self.graph)} nodes, got a batch of {B}")
        return GraphTape(self, T, B, *layout)

    def steps(self, views, dot, W_hh_T, z, P, mixed):
        for h_before, h in views:
            np.matmul(P, h_before, mixed)  # what each node hears
            dot(mixed, W_hh_T, z)
            add(z, h, z)
            self.f(z, h)

    def steps_back(self, views, dot, W_hh, d_h_before, P_T, mixed):
        for d_h, d_z in views:
            add(d_h, d_h_before, d_h)
            multiply(d_z, d_h, d_z)
            dot(d_z, W_hh, mixed)
            np.matmul(P_T, mixed, d_h_before)  # back to those that it was heard from

    def jacobians(self, params, tape):
        """Raise: a node's state depends on its neighbours' too, so that no (H, H) matrix is its Jacobian."""
        raise TypeError(f"expected a cell whose sequences do not hear each other, got {self!r}")


class Nodes(np.ndarray):
    """Hold a graph's matrix, and print its size alone."""

    def __new__(cls, graph):
        return graph.view(cls)

    def __repr__(self):
        return f"{len(self)} nodes"


class GraphTape(RNNTape):
    """Record one unrolled sequence of states of all nodes."""

    def lay_out(self, T, B, D, H):
        super().lay_out(T, B, D, H)
        self.P, self.mixed = self.cell.graph.astype(self.dtype), self.array(B, H)
        self.P_T = np.ascontiguousarray(self.P.T)

    def finish(self, lengths):
        if lengths is not None:
            raise ValueError("expected no lengths with a graph: all its nodes take the same steps")
        return super().finish(lengths)

    def forward_views(self, chunk):
        return *super().forward_views(chunk), self.P, self.mixed[chunk]

    def backward_views(self, chunk):
        return *super().backward_views(chunk), self.P_T, self.mixed[chunk]

    def weight_gradients(self):
        d_z, heard = transposed(self.rows(self.d_z)), self.rows(np.matmul(self.P, self.states[:, :-1]))
        return super().weight_gradients() | {"weight_hh": np.matmul(d_z, heard)}
