"""Random numbers of a step depend on the seed of a replica, the step and the name, and on nothing else."""

import numpy as np
import torch
from scipy import stats

from symbreak.seeding import derive
from symbreak.training.noise import StepNoise

CPU = torch.device("cpu")


def uniform(
    seeds: tuple[int, ...], step: int = 3, name: str = "layers.0", shape: tuple[int, ...] = (4, 5)
) -> torch.Tensor:
    return StepNoise(seeds, step, CPU).uniform(name, shape)


def test_a_replica_has_the_same_numbers_in_any_company_and_place() -> None:
    together = uniform((7, 1, 9))
    assert together.shape == (3, 4, 5)
    assert together.dtype == torch.float32
    for place, seed in enumerate((7, 1, 9)):
        assert torch.equal(together[place], uniform((seed,))[0])
    assert torch.equal(uniform((9, 7))[1], together[0])


def test_numbers_are_those_of_the_stream_of_seed_step_and_name() -> None:
    draw = torch.Generator().manual_seed(derive(9, "noise", "3", "layers.0"))
    assert torch.equal(uniform((9,))[0], torch.rand(4, 5, generator=draw))


def test_another_seed_step_or_name_has_other_numbers() -> None:
    drawn = [uniform((1,)), uniform((2,)), uniform((1,), step=4), uniform((1,), name="layers.1")]
    assert len({value.numpy().tobytes() for value in drawn}) == 4
    # "1" and "11" of step and seed must not run into one another
    assert not torch.equal(uniform((1,), step=11), uniform((11,), step=1))


def test_asking_twice_or_in_another_order_changes_nothing() -> None:
    noise = StepNoise((1, 2), 5, CPU)
    first, second = noise.uniform("a", (3,)), noise.uniform("b", (3,))
    again = StepNoise((1, 2), 5, CPU)
    assert torch.equal(again.uniform("b", (3,)), second)
    assert torch.equal(again.uniform("a", (3,)), first)
    assert torch.equal(noise.uniform("a", (3,)), first)


def test_global_random_numbers_are_neither_used_nor_moved() -> None:
    torch.manual_seed(0)
    expected, before = uniform((1,)), torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(uniform((1,)), expected)
    torch.manual_seed(0)
    uniform((1,))
    assert torch.equal(torch.get_rng_state(), before)


def test_numbers_are_uniform_over_steps_and_names() -> None:
    """The first number of many streams, and all of one, by Kolmogorov and Smirnov at level 1e-3 (fixed seeds)."""
    firsts = [uniform((seed,), step, name, (1,)).item() for seed in range(5) for step in range(50) for name in "ab"]
    for sample in (np.array(firsts), uniform((1,), shape=(2000,)).numpy().ravel()):
        assert (sample >= 0).all()
        assert (sample < 1).all()
        assert stats.kstest(sample, "uniform").pvalue > 1e-3
