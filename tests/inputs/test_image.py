"""Pictures: what is decoded, what a picture that is missing, broken or of another size becomes."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image as Pillow

from polytask.errors import UserError
from polytask.inputs import BadRowsError, Image
from polytask.inputs.image_decoding import Form
from polytask.inputs.image_distortions import Distortions
from polytask.inputs.image_networks import build_network

RANDOM = np.random.default_rng(0)


def noise(height: int = 16, width: int = 16, channels: int = 3, *, high: int = 256) -> np.ndarray:
    shape = (height, width, channels) if channels == 3 else (height, width)
    return RANDOM.integers(0, high, shape).astype(np.uint8)


def written(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Pillow.fromarray(pixels).save(content, kind)
    return content.getvalue()


def fit(values: object, **options: object) -> Image:
    return Image.fit(pa.table({"photo": values}), ["photo"], **options)


def test_bytes_paths_and_arrays_are_the_same_pixels(tmp_path: Path) -> None:
    pictures = [noise() for _ in range(3)]
    paths = [str(tmp_path / f"{number}.png") for number in range(3)]
    for path, pixels in zip(paths, pictures):
        Path(path).write_bytes(written(pixels))
    columns = {
        "bytes": pa.array([written(pixels) for pixels in pictures]),
        "paths": pa.array(paths).dictionary_encode(),
        "structures": pa.array(
            [{"bytes": written(pictures[0]), "path": "elsewhere.png"}]
            + [{"bytes": None, "path": path} for path in paths[1:]]
        ),
        "lists": pa.array([pixels.tolist() for pixels in pictures]),
    }
    expected = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    fitted = fit(columns["bytes"])
    assert fitted.means == pytest.approx(expected.double().mean((0, 2, 3)).tolist())
    assert fitted.deviations == pytest.approx(
        expected.double().std((0, 2, 3), correction=0).tolist()
    )
    for column in columns.values():
        encoded = fitted.encode(pa.table({"photo": column}))
        assert encoded.dtype == torch.uint8 and encoded.equal(expected)


def test_the_size_is_the_commonest_and_others_are_resized() -> None:
    half = noise(8, 12)
    column = pa.array([written(p) for p in (noise(20, 24), half, noise(20, 24))])
    fitted = fit(column)
    assert fitted.form == Form(20, 24, 3)
    expected = np.asarray(Pillow.fromarray(half).resize((24, 20), Pillow.Resampling.BILINEAR))
    assert fitted.encode(pa.table({"photo": column}))[1].permute(1, 2, 0).numpy().tolist() == (
        expected.tolist()
    )
    assert fit(column, size=18, channels=1).form == Form(18, 18, 1)
    assert fit(column, size=(18, 30)).form == Form(18, 30, 3)


def test_what_a_camera_writes_is_read_as_it_was_held() -> None:
    content, exif = io.BytesIO(), Pillow.Exif()
    exif[0x0112] = 6  # To be turned by a quarter.
    pixels = np.zeros((16, 32, 3), dtype=np.uint8)
    pixels[:, :16] = 255
    Pillow.fromarray(pixels).save(content, "PNG", exif=exif)
    encoded = fit(pa.array([content.getvalue()]), size=(32, 16)).encode(
        pa.table({"photo": pa.array([content.getvalue()])})
    )
    assert encoded[0, :, :16].eq(255).all() and encoded[0, :, 16:].eq(0).all()


def test_sixteen_bits_grey_and_transparent_pictures_have_a_place() -> None:
    deep = (noise(channels=1).astype(np.uint16) << 8) + 77
    assert fit(pa.array([written(deep)])).form.channels == 1
    encoded = fit(pa.array([written(deep)])).encode(pa.table({"photo": pa.array([written(deep)])}))
    assert encoded[0, 0].numpy().tolist() == (deep >> 8).tolist()
    clear = np.dstack([noise(), noise(channels=1)])
    assert fit(pa.array([written(clear)])).form.channels == 3


def test_a_missing_picture_is_of_the_mean_colour_and_enters_as_about_zero() -> None:
    column = pa.array([written(noise(high=100)), None])
    fitted = fit(column)
    encoded = fitted.encode(pa.table({"photo": column}))
    assert encoded[1].unique(dim=1).shape[1] == 1
    module = fitted.module()
    module.networks[0] = torch.nn.Identity()
    entered = module(encoded)
    assert entered[1].abs().max() < 0.02
    assert entered[0].mean((1, 2)).abs().max() < 1e-4
    assert entered[0].std((1, 2), correction=0).sub(1).abs().max() < 1e-4


def test_bad_pictures_are_named_by_row_and_path(tmp_path: Path) -> None:
    good, cut, lost = (str(tmp_path / name) for name in ("good.png", "cut.png", "lost.png"))
    content = written(noise())
    Path(good).write_bytes(content)
    Path(cut).write_bytes(content[:-400])
    fitted = fit(pa.array([good]))
    table = pa.table({"photo": [good, cut, None, lost]})
    with pytest.raises(BadRowsError, match=r"row 1: .*cut.png: .*; row 3: .*lost.png: there is no"):
        fitted.encode(table)
    assert sorted(Image.bad_rows(table, ["photo"])) == [1, 3]
    jpeg = written(noise(64, 64), "JPEG")
    halves = pa.table({"photo": [jpeg, jpeg[: len(jpeg) // 2]]})
    assert list(Image.bad_rows(halves, ["photo"])) == [1]
    broken = pa.table({"photo": [content, b"\xff\xd8\xff none"]})
    with pytest.raises(BadRowsError, match="row 1: 8 bytes: this is no picture"):
        fitted.encode(broken)


def test_bad_arrays_are_named(tmp_path: Path) -> None:
    fitted = fit(pa.array([noise(16, 16, 1).tolist()]))
    for value, words in (
        ([[[1.5] * 16] * 16], "whole numbers from 0 to 255"),
        ([[[300] * 16] * 16], "whole numbers from 0 to 255"),
        ([[[1] * 16] * 15 + [[1]]], "no array of numbers of one shape"),
        ([[[[1, 2]] * 16] * 16], r"not \(16, 16, 2\)"),
    ):
        with pytest.raises(BadRowsError, match=rf"row 0: .*{words}"):
            fitted.encode(pa.table({"photo": pa.array(value)}))
    for column in (pa.array([3, 4]), pa.array([True])):
        with pytest.raises(UserError, match="no pictures: what is due"):
            fit(column)
    with pytest.raises(UserError, match="no picture in any training row"):
        fit(pa.array([None], pa.binary()))


def test_rows_that_are_no_training_rows_do_not_change_the_normalisation() -> None:
    fitted = fit(pa.array([written(noise(high=50))]))
    assert max(fitted.means) < 50


def test_columns_have_networks_of_their_own_or_one_together() -> None:
    table = pa.table({"front": pa.array([written(noise())]), "back": pa.array([written(noise())])})
    own = Image.fit(table, ["front", "back"], network="lenet", width=5)
    one = Image.fit(table, ["front", "back"], network="lenet", width=5, shared=True)
    assert [f.column for f in own.features()] == ["front"] * 5 + ["back"] * 5
    assert len(own.module().networks) == 2 and len(one.module().networks) == 1
    module, alone = one.module().eval(), Image.fit(table, ["back"], network="lenet", width=5)
    # The columns' means differ, so the same pixels in both are not the same: the parts are.
    pixels = one.encode(table)
    x = (pixels - module.means) / module.deviations
    assert torch.allclose(module(pixels)[:, 5:], module.networks[0](x[:, 3:]))
    assert alone.encode(table).equal(pixels[:, 3:])


@pytest.mark.parametrize("name", ["lenet", "resnet"])
def test_a_network_in_training_reads_each_row_alone(name: str) -> None:
    network = build_network(name, Form(32, 20, 3), 7).double().train()
    x_BCHW = torch.randn(4, 3, 32, 20, dtype=torch.float64)
    torch.testing.assert_close(network(x_BCHW)[2:3], network(x_BCHW[2:3]))
    assert network(x_BCHW).shape == (4, 7)


def test_lenet_is_that_of_multimnist() -> None:
    parameters = sum(p.numel() for p in build_network("lenet", Form(28, 28, 1), 50).parameters())
    assert parameters == (25 * 10 + 10) + (250 * 20 + 20) + (320 * 50 + 50)


def test_wrong_options_are_one_message() -> None:
    column = pa.array([written(noise())])
    for options, words in (
        ({"network": "lenett"}, "did you mean 'lenet'"),
        ({"network": "lenet", "size": 12}, "lenet needs pictures of 16 x 16"),
        ({"channels": 2}, "1 channel or 3"),
        ({"size": 0}, "1 pixel or more"),
        ({"crop": 1.5}, "a crop is a share"),
        ({"shift": -1}, "a shift is 0 pixels or more"),
        ({"network": "timm:nothing_of_this_name"}, "timm"),
    ):
        with pytest.raises(UserError, match=words):
            fit(column, **options)


def _draws(**places: float) -> torch.Tensor:
    names = ("flip", "down", "right", "scale", "crop_down", "crop_right")
    return torch.tensor([[places.get(name, 0.5) for name in names]], dtype=torch.float64)


def test_distortions_do_what_their_numbers_say() -> None:
    pixels = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4)
    mirrored = Distortions(flip=True).apply(pixels, _draws(flip=0.49))
    assert mirrored[0, 0, 0].tolist() == [3, 2, 1, 0]
    assert Distortions(flip=True).apply(pixels, _draws(flip=0.5)).equal(pixels)
    moved = Distortions(shift=1).apply(pixels, _draws(down=0.0, right=0.99))
    assert moved[0, 0].tolist() == [[1, 2, 3, 3], [1, 2, 3, 3], [5, 6, 7, 7], [9, 10, 11, 11]]
    assert Distortions(shift=1).apply(pixels, _draws()).equal(pixels)
    assert Distortions(crop=0.5).apply(pixels, _draws(scale=1.0)).equal(pixels)
    corner = Distortions(crop=0.5).apply(pixels, _draws(scale=0, crop_right=0, crop_down=0))
    assert corner[0, 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [4, 4, 5, 5], [4, 4, 5, 5]]
    other = Distortions(crop=0.5).apply(pixels, _draws(scale=0, crop_right=0.999, crop_down=0))
    assert other[0, 0, 0].tolist() == [2, 2, 3, 3]
    all_of_it = Distortions(flip=True, shift=1, crop=0.5)
    draws = _draws(flip=0.1, down=0.5, right=0.99, scale=0, crop_right=0, crop_down=0)
    assert all_of_it.apply(pixels, draws)[0, 0, 0].tolist() == [1, 1, 1, 0]
    assert corner.dtype == torch.uint8 and not pixels.equal(corner)


def test_backbones_of_other_libraries_are_made_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, int]]] = []

    def make(name: str, **options: int) -> torch.nn.Module:
        asked.append((name, options))
        if name == "nothing":
            raise RuntimeError("Unknown model (nothing)")
        inputs = options.get("in_chans", 3) * 20 * 20
        return torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(inputs, options["num_classes"])
        )

    modules = {"timm": {"create_model": make}, "torchvision.models": {"get_model": make}}
    for module, names in modules.items():
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(**names))
    grey = torch.zeros(2, 1, 20, 20)
    for name in ("timm:resnet10t", "torchvision:resnet18"):
        assert build_network(name, Form(20, 20, 1), 7)(grey).shape == (2, 7)
    assert asked == [
        ("resnet10t", {"num_classes": 7, "in_chans": 1}),
        ("resnet18", {"num_classes": 7}),
    ]
    with pytest.raises(UserError, match="timm makes no network 'nothing'"):
        build_network("timm:nothing", Form(20, 20, 3), None)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match="timm, which is not installed: pip install timm"):
        build_network("timm:resnet10t", Form(20, 20, 3), None)
