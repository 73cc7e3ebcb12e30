"""Extreme eigenpairs of symmetric operators known by their products with blocks of vectors.

Block Lanczos (Golub and Underwood 1977) with full reorthogonalisation in its Rayleigh-Ritz form: the projected matrix
T = Q A Q' is computed, not assumed to be block tridiagonal, and the basis grows by the residuals of those Ritz vectors
that are wanted and not yet converged (Davidson 1975, J. Comput. Phys. 17, 87, without a preconditioner, which spans the
same Krylov spaces), so that no product is spent on the others. In the first steps one more vector follows Lanczos' own
sequence from a random start: it finds eigenvectors of which the start block had nothing. Every block is made orthogonal
to the basis by classical Gram-Schmidt, once more if vectors have lost much of their length or are nearly dependent
(Daniel et al. 1976, Math. Comp. 30, 772; "twice is enough", Giraud et al. 2005), so that no eigenvalue comes back as a
ghost; a full basis is restarted with its outer Ritz vectors (Wu and Simon 2000, SIAM J. Matrix Anal. Appl. 22, 602). A
residual r = A x - theta x bounds the distance of theta from an eigenvalue by ``|r|`` (for ``|x|`` = 1).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from symbreak.errors import SymbreakError

Apply = Callable[[Tensor], Tensor]  # vectors [R, b, n] -> their products [R, b, n]
BYTES = 2**32  # of a basis and of its products
BLOCKS = 16  # start blocks in a basis before it is restarted, if they are within BYTES
FIRST = 4  # of these for which there is room at first
EXPLORED = 2  # steps of the random sequence before anything is taken as found: see ``eigenpairs``
KEPT = 0.7  # of its length a vector must keep in a pass of Gram-Schmidt, else there is another pass
PASSES = 5  # at most
STEEP = 1e3  # mean square of the inverse of a Cholesky factor, above which vectors are too dependent for it
NEAR = 2.0  # likewise, up to which its result is orthonormal to rounding


@dataclass(frozen=True)
class Pairs:
    """Eigenpairs: first the largest ones, descending, then the smallest ones, ascending.

    Attributes:
        values: ``[R, m]`` float64.
        vectors: ``[R, m, n]``, of length 1.
        residuals: ``[R, m]`` float64: ``|A x - theta x|``, within which there is an eigenvalue.
        products: Number of vectors, of each of the R operators, that were multiplied.
        converged: Whether all residuals are within the tolerance.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    products: int
    converged: bool


def eigenpairs(
    apply: Apply,
    start: Tensor,
    *,
    top: int,
    bottom: int = 0,
    tolerance: float = 1e-3,
    most: int = 2000,
    explored: bool = False,
) -> Pairs:
    """Find the ``top`` largest and ``bottom`` smallest eigenvalues of R symmetric operators at once.

    Args:
        apply: The operators.
        start: Linearly independent vectors ``[R, b, n]``, b >= top + bottom, > top and > bottom: random ones, or
            guesses of the eigenvectors, but the last one random. Up to b copies of an eigenvalue are told apart. An
            eigenvector that none but the random vector has a part of is found if its ``|lambda|`` exceeds the root mean
            square of the others that were not found by a factor of about n^(1/4), ``EXPLORED`` being 2.
        top: How many of the largest.
        bottom: How many of the smallest.
        tolerance: Residuals that are small enough, as a fraction of the largest absolute Ritz value.
        most: Products after which it is given up; ``converged`` is then false.
        explored: Whether ``start`` is what a search of a nearby operator found: b = top + bottom is then enough, and no
            random sequence follows.

    Raises:
        SymbreakError: If b is too small, a product is not finite, or the basis does not fit into ``BYTES``.
    """
    block, n = start.shape[1:]
    fewest = max(top + bottom, max(top, bottom) + (not explored))
    if block < min(fewest, n):
        raise SymbreakError(f"{top} and {bottom} eigenvalues need a block of at least {fewest} vectors, found {block}")
    if n < _least(block, top, bottom) + _widest(block, top, bottom):
        return _dense(apply, start, top, bottom)
    space = _Space(_orthonormal(start), top, bottom)
    space.explored = EXPLORED if explored else -1
    while True:
        space.multiply(apply)
        values, vectors, residuals = space.ritz()
        norms: Tensor = torch.linalg.vector_norm(residuals, dim=2).double()
        open_ = norms > tolerance * space.scale()
        converged = not bool(open_.any())
        if (converged and space.explored >= EXPLORED) or space.products >= most:
            return Pairs(values, vectors, norms, space.products, converged)
        worst = norms.topk(int(open_.sum(1).max()), dim=1).indices
        space.extend(residuals[torch.arange(len(worst), device=worst.device).unsqueeze(1), worst])


class _Space:
    """An orthonormal basis, its products and the projected operators, one for each of the R.

    Args:
        start: The first vectors ``[R, b, n]``, orthonormal.
        top: How many of the largest eigenvalues are wanted.
        bottom: How many of the smallest.
    """

    def __init__(self, start: Tensor, top: int, bottom: int) -> None:
        replicas, block, n = start.shape
        self.top, self.bottom = top, bottom
        self.kept = top + bottom + block
        least, widest = _least(block, top, bottom), _widest(block, top, bottom)
        room = BYTES // (2 * replicas * n * start.element_size())
        # a block is made orthogonal to the basis before a restart: the space must have room for both
        vectors = min(room, max(BLOCKS * block, least), n - widest)
        if room < least:
            raise SymbreakError(
                f"{least} vectors of {n} numbers for {replicas} networks exceed {BYTES} bytes: "
                "expected a smaller network; ask for fewer eigenvalues"
            )
        self._most = vectors
        at_first = min(max(FIRST * block, least), vectors)  # memory that is never used is not asked for
        if at_first + vectors > room:  # while the basis grows, there are two
            at_first = vectors
        self.q, self.aq = (start.new_empty(replicas, at_first, n) for _ in range(2))
        self.t = torch.zeros(replicas, vectors, vectors, dtype=torch.float64, device=start.device)
        self.q[:, :block] = start
        self.size, self.done = block, 0  # vectors of the basis, and those of them whose products are known
        self.products, self.explored = 0, -1
        self.theta = self.y = self.t

    def multiply(self, apply: Apply) -> None:
        """Apply the operators to the newest vectors and project."""
        new = slice(self.done, self.size)
        self.aq[:, new] = apply(self.q[:, new])
        self.products += self.size - self.done
        self.explored += 1
        overlap = torch.bmm(self.q[:, : self.size], self.aq[:, new].transpose(1, 2)).double()
        if not bool(torch.isfinite(overlap).all()):
            raise SymbreakError("a product with the operator is not finite: expected finite numbers; check the weights")
        self.t[:, : self.size, new] = overlap
        self.t[:, new, : self.size] = overlap.transpose(1, 2)
        corner = self.t[:, new, new]
        self.t[:, new, new] = (corner + corner.transpose(1, 2)) / 2
        self.done = self.size

    def ritz(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the wanted Ritz values, vectors and residuals."""
        self.theta, self.y = torch.linalg.eigh(self.t[:, : self.size, : self.size])
        chosen = [*range(self.size - 1, self.size - 1 - self.top, -1), *range(self.bottom)]
        theta, y = self.theta[:, chosen], self.y[:, :, chosen].transpose(1, 2).to(self.q.dtype)
        x = torch.bmm(y, self.q[:, : self.size])
        residuals = torch.bmm(y, self.aq[:, : self.size]).sub_(theta.unsqueeze(2).to(x.dtype) * x)
        return theta, x, residuals

    def scale(self) -> Tensor:
        """Return the largest absolute Ritz value, ``[R, 1]``."""
        return self.theta.abs().amax(1, keepdim=True)

    def extend(self, residuals: Tensor) -> None:
        """Add directions ``[R, e, n]`` and, at first, the next vector of the random sequence; restart if need be."""
        following = self.aq[:, self.size - 1 : self.size] if self.explored < EXPLORED else residuals[:, :0]
        block = _orthonormal(torch.cat([residuals, following], 1), self.q[:, : self.size])
        if self.size + block.shape[1] > self._most:
            self._restart()
        elif self.size + block.shape[1] > self.q.shape[1]:
            self._grow()
        self.q[:, self.size : self.size + block.shape[1]] = block
        self.size += block.shape[1]

    def _grow(self) -> None:
        """Make room for as many vectors as there may be."""
        room = self.q.new_empty(2, len(self.q), self._most, self.q.shape[2])
        room[0, :, : self.size], room[1, :, : self.size] = self.q[:, : self.size], self.aq[:, : self.size]
        self.q, self.aq = room[0], room[1]

    def _restart(self) -> None:
        """Keep the Ritz vectors at both ends; residuals are orthogonal to all of them."""
        low = (self.kept * self.bottom) // (self.top + self.bottom)
        places = [*range(low), *range(self.size - self.kept + low, self.size)]
        turn = self.y[:, :, places].transpose(1, 2).to(self.q.dtype)
        for basis in (self.q, self.aq):
            basis[:, : self.kept] = torch.bmm(turn, basis[:, : self.size])
        self.t.zero_()
        self.t[:, : self.kept, : self.kept] = torch.diag_embed(self.theta[:, places])
        self.size = self.done = self.kept


def _widest(block: int, top: int, bottom: int) -> int:
    """The most vectors by which a basis grows at once."""
    return max(block, top + bottom + 1)


def _least(block: int, top: int, bottom: int) -> int:
    """The fewest vectors of a basis that can be restarted."""
    return top + bottom + block + 2 * _widest(block, top, bottom)


def _orthonormal(f: Tensor, q: Tensor | None = None) -> Tensor:
    """Return an orthonormal basis ``[R, b, n]`` of the rows of ``f``, in their order, orthogonal to those of ``q``.

    Where ``f`` has too low a rank, Householder's QR fills up with other directions, which the next pass makes
    orthogonal to ``q``.
    """
    f = f / torch.linalg.vector_norm(f, dim=2, keepdim=True).clamp(min=torch.finfo(f.dtype).tiny)
    if q is None:
        return _factored(f)[0]
    for _ in range(PASSES):
        f = torch.baddbmm(f, torch.bmm(f, q.transpose(1, 2)), q, alpha=-1)
        kept = bool((torch.linalg.vector_norm(f, dim=2) > KEPT).all())
        f, near = _factored(f)
        if kept and near:  # else what rounding has left of ``q`` has grown with them
            break
    return f


def _factored(f: Tensor) -> tuple[Tensor, bool]:
    """Return an orthonormal basis of the rows of ``f``, of length about 1, and whether these were nearly orthogonal.

    Cholesky's factor of their products L, a few small steps, makes them orthogonal to rounding times the square of
    their condition, so that a second time ends it (CholeskyQR2: Yamamoto et al. 2015, ETNA 44, 306); rows that are
    nearly dependent, as ``|L^-1|`` tells, are left to Householder.
    """
    for number in range(2):
        factor, failed = torch.linalg.cholesky_ex(torch.bmm(f, f.transpose(1, 2)).double())
        unit = torch.eye(f.shape[1], dtype=factor.dtype, device=f.device)
        inverse = torch.linalg.solve_triangular(factor, unit, upper=False)
        steep = float((inverse.square().sum((1, 2)) / f.shape[1]).max())
        if bool(failed.any()) or not steep <= STEEP:
            found: Tensor = torch.linalg.qr(f.transpose(1, 2))[0].transpose(1, 2)
            return found, False
        f = torch.bmm(inverse.to(f.dtype), f)
        if steep <= NEAR:
            return f, number == 0
    return f, False


def _dense(apply: Apply, start: Tensor, top: int, bottom: int) -> Pairs:
    """The same from all eigenpairs: so small a space has no room for blocks and a restart."""
    n = start.shape[2]
    matrix = apply(torch.eye(n, dtype=start.dtype, device=start.device).repeat(len(start), 1, 1)).double()
    if not bool(torch.isfinite(matrix).all()):
        raise SymbreakError("a product with the operator is not finite: expected finite numbers; check the weights")
    theta, y = torch.linalg.eigh((matrix + matrix.transpose(1, 2)) / 2)
    chosen = [*range(n - 1, n - 1 - min(top, n), -1), *range(min(bottom, n))]
    values, x = theta[:, chosen], y[:, :, chosen].transpose(1, 2)
    residuals: Tensor = torch.linalg.vector_norm(torch.bmm(x, matrix) - values.unsqueeze(2) * x, dim=2)
    return Pairs(values, x.to(start.dtype), residuals, n, True)
