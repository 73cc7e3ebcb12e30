"""Expansion and standardisation: exact where they can be, loops as oracles where not."""

from typing import Any

import pytest
import torch

from symbreak.config.specs import DataSpec, ExpandSpec
from symbreak.data.expansion import contract, expand
from symbreak.data.statistics import Statistics
from symbreak.data.tensors import to_input

STATISTICS = Statistics((0.25, 0.5, 0.75), (0.5, 0.25, 0.125))
CONSTANTS = [ExpandSpec(factor=k, fill="constant", value=v, offset=o) for k, v, o in ((2, 0.5, 0), (3, -1.0, 2))]


def some_batch(*leading: int) -> torch.Tensor:
    return torch.randint(0, 256, (*leading, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def data_spec(**keys: Any) -> DataSpec:
    return DataSpec(set="cifar10", **keys)


@pytest.mark.parametrize("spec", CONSTANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int16])
def test_constant_expansion_is_the_image_and_the_rest_is_the_value(spec: ExpandSpec, dtype: torch.dtype) -> None:
    batch, factor, offset = some_batch(2).to(dtype), spec.factor, spec.offset
    out = expand(batch, spec)
    assert out.shape == (2, 3, 4 * factor, 5 * factor)
    assert out.dtype == dtype
    assert torch.equal(out[..., offset::factor, offset::factor], batch)
    rest = torch.ones(4 * factor, 5 * factor, dtype=torch.bool)
    rest[offset::factor, offset::factor] = False
    assert torch.equal(out[..., rest], torch.full((2, 3, int(rest.sum())), spec.value).to(dtype))


def test_nearest_expansion_equals_the_slow_loop() -> None:
    batch = some_batch()
    out = expand(batch, ExpandSpec(factor=3, fill="nearest"))
    for row in range(12):
        for column in range(15):
            assert torch.equal(out[:, row, column], batch[:, row // 3, column // 3])


@pytest.mark.parametrize("keys", [{"fill": "nearest"}, {"fill": "constant", "value": 9.0}])
def test_factor_one_is_the_identity(keys: dict[str, Any]) -> None:
    assert torch.equal(expand(some_batch(2), ExpandSpec(factor=1, **keys)), some_batch(2))


@pytest.mark.parametrize("spec", [*CONSTANTS, ExpandSpec(factor=4, fill="nearest", offset=1)])
def test_contract_undoes_expand(spec: ExpandSpec) -> None:
    assert torch.equal(contract(expand(some_batch(3).float(), spec), spec), some_batch(3).float())


def input_of(batch: torch.Tensor, dtype: torch.dtype = torch.float64, **keys: Any) -> torch.Tensor:
    return to_input(batch, data_spec(**keys), STATISTICS, dtype)


@pytest.mark.parametrize("leading", [(), (2,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dataset_standardisation_by_a_loop(leading: tuple[int, ...], dtype: torch.dtype) -> None:
    batch = some_batch(*leading)
    out = input_of(batch, dtype)
    assert out.dtype == dtype
    for channel, (mean, std) in enumerate(zip(STATISTICS.mean, STATISTICS.std, strict=True)):
        oracle = (batch[..., channel, :, :].double() / 255 - mean) / std
        assert (out[..., channel, :, :] - oracle).abs().max() <= 4 * torch.finfo(dtype).eps * oracle.abs().max()


def test_unit_and_constants() -> None:
    batch = some_batch(2)
    torch.testing.assert_close(input_of(batch, standardise={"kind": "unit"}), batch.double() / 255, rtol=1e-15, atol=0)
    constants = {"kind": "constants", "mean": 0.5, "std": 0.25}
    oracle = (batch.double() / 255 - 0.5) / 0.25
    torch.testing.assert_close(input_of(batch, standardise=constants), oracle, rtol=0, atol=1e-15)


def test_black_and_white_are_exact() -> None:
    ends = torch.tensor([0, 255], dtype=torch.uint8).expand(1, 1, 2)
    for dtype in (torch.float32, torch.float64):
        assert input_of(ends, dtype, standardise={"kind": "unit"}).flatten().tolist() == [0.0, 1.0]


def test_per_image_standardisation_image_by_image() -> None:
    batch = some_batch(2, 3)
    out = input_of(batch, standardise={"kind": "per_image"})
    for i in range(2):
        for j in range(3):
            pixels = batch[i, j].double() / 255
            oracle = (pixels - pixels.mean()) / pixels.std(correction=0)
            torch.testing.assert_close(out[i, j], oracle, rtol=1e-14, atol=1e-14)


def test_per_image_standardisation_of_a_flat_image_is_bounded() -> None:
    flat = torch.full((1, 3, 4, 5), 100, dtype=torch.uint8)
    flat[0, 0, 0, 0] = 101
    pixels, floor = flat.double() / 255, 60**-0.5
    assert pixels.std(correction=0) < floor
    torch.testing.assert_close(input_of(flat, standardise={"kind": "per_image"}), (pixels - pixels.mean()) / floor)


def test_expansion_before_and_after_standardisation_fill_different_values() -> None:
    batch, keys = some_batch(2), {"factor": 2, "fill": "constant", "value": 0.0}
    before, after = (input_of(batch, expand=keys | {"when": when}) for when in ("before", "after"))
    for channel, (mean, std) in enumerate(zip(STATISTICS.mean, STATISTICS.std, strict=True)):
        assert (before[:, channel, 1::2, :] == -mean / std).all()
        assert (after[:, channel, 1::2, :] == 0).all()
    torch.testing.assert_close(before[..., ::2, ::2], input_of(batch), rtol=0, atol=1e-14)
    assert torch.equal(after[..., ::2, ::2], input_of(batch))


def test_a_float_batch_is_taken_in_pixel_units_and_left_alone() -> None:
    batch = some_batch(2).double()
    given = batch.clone()
    assert torch.equal(input_of(batch), input_of(some_batch(2)))
    assert torch.equal(batch, given)
