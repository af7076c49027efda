"""What each masking makes of a batch."""

import pytest
import torch

from mmbench.images.preprocessing import high_pass_for
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.mask_generators import uniform
from mmbench.pretrain.masking import MASKINGS, Masked, draw_partners
from mmbench.pretrain.view_maker import ViewMaker

IMAGES = torch.randn((12, 3, 32, 32), generator=torch.Generator().manual_seed(0))


def masked_by(name: str, seed: int = 0, **settings: object) -> Masked:
    entry = MASKINGS.get(name)
    branches = entry(entry.Settings.model_validate(settings), 32)(IMAGES, torch.Generator().manual_seed(seed))
    assert len(branches) == 1
    return branches[0]


def test_every_module_registers_its_masking() -> None:
    assert MASKINGS.names() == ["erase", "mixmask", "mscn", "none", "unmix", "unmix+mixmask"]


def test_mixmask_takes_every_pixel_from_the_image_or_its_partner() -> None:
    for how in ("flip", "permutation"):
        masked = masked_by("mixmask", partner=how)
        assert masked.partner is not None
        assert sorted(masked.partner.tolist()) == list(range(12))
        for row in range(12):
            for y, x in ((0, 0), (9, 17), (31, 31)):
                own = bool(masked.mask[row, 0, y, x])
                source = row if own else int(masked.partner[row])
                assert torch.equal(masked.images[row, :, y, x], IMAGES[source, :, y, x])


def test_flip_is_its_own_inverse() -> None:
    partner = draw_partners(7, "flip", torch.Generator())
    assert partner[partner].tolist() == list(range(7))


def test_erase_draws_the_masks_of_mixmask_and_leaves_the_gaps_empty() -> None:
    mixed, erased = masked_by("mixmask", seed=4), masked_by("erase", seed=4)
    assert torch.equal(mixed.mask, erased.mask)
    assert torch.equal(mixed.lam, erased.lam)
    assert erased.partner is None
    assert torch.equal(erased.images, IMAGES * erased.mask)


def test_erase_fills() -> None:
    mean = masked_by("erase", fill="mean")
    row, y, x = (int(index[0]) for index in (mean.mask[:, 0] == 0).nonzero(as_tuple=True))
    assert torch.allclose(mean.images[row, :, y, x], IMAGES[row].mean((1, 2)))
    noise = masked_by("erase", fill="noise", noise_std=0.5)
    gaps = noise.images[(noise.mask == 0).expand_as(noise.images)]
    assert abs(gaps.std().item() - 0.5) < 0.02
    assert abs(gaps.mean().item()) < 0.02


def test_mscn_draws_its_three_kinds_as_often_as_the_recipe_says() -> None:
    entry = MASKINGS.get("mscn")
    masking = entry(entry.Settings(), 32)
    masks = masking.draw(4000, (32, 32), torch.Generator().manual_seed(0))  # type: ignore[attr-defined]
    same = (masks[:, :1] == masks).all(3).all(2).all(1)
    side = round(200 / 224 * 32)
    focal = same & (masks[:, 0].sum((1, 2)) == side * side) & (masks[:, 0].amax(2).sum(1) == side)
    for kind, expected in ((focal, 0.20), (same & ~focal, 0.24), (~same, 0.56)):
        assert abs(kind.float().mean().item() - expected) < 0.03
    shares = 1 - masks[~focal].mean((1, 2, 3))
    assert shares.min().item() > 0.02
    assert shares.max().item() < 0.30
    assert abs(shares.mean().item() - 0.15) < 0.01


def test_mscn_fills_with_noise_of_the_recipes_strength() -> None:
    masked = masked_by("mscn")
    gaps = masked.images[masked.mask.expand_as(masked.images) == 0]
    assert abs(gaps.std().item() - 0.18) < 0.01
    kept = masked.mask.expand_as(masked.images) == 1
    assert torch.equal(masked.images[kept], IMAGES[kept])


def test_mscn_filters_both_views_and_masks_only_the_query() -> None:
    maker = ViewMaker(resolve_config("mscn"), 32, torch.device("cpu"))
    images = torch.randint(
        0, 256, (8, 3, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    views = maker(images, torch.Generator().manual_seed(2))
    assert not views.compare_clean
    assert maker.preprocessing.high_pass == high_pass_for(32)
    assert abs(views.key.mean().item()) < 0.02  # a high-passed image has no brightness
    (masked,) = views.masked
    kept = masked.mask.expand_as(views.query) == 1
    assert torch.equal(masked.images[kept], views.query[kept])


def test_the_other_methods_keep_their_clean_query_and_their_brightness() -> None:
    images = torch.full((4, 3, 40, 40), 250, dtype=torch.uint8)
    for method in ("moco", "mixmask", "erase"):
        maker = ViewMaker(resolve_config(method), 32, torch.device("cpu"))
        views = maker(images, torch.Generator().manual_seed(2))
        assert views.compare_clean
        assert maker.preprocessing.high_pass is None
        assert views.key.mean().item() > 0.5


def test_unmix_mixes_all_or_a_box_and_lambda_is_the_share_of_own_pixels() -> None:
    for seed in range(20):
        masked = masked_by("unmix", seed=seed, global_share=0.5, per_sample=True)
        assert masked.partner is not None
        for row in range(12):
            mask, partner = masked.mask[row, 0], IMAGES[11 - row]
            assert int(masked.partner[row]) == 11 - row
            assert masked.lam[row].item() == pytest.approx(mask.mean().item(), abs=1e-6)
            levels = mask.unique().tolist()
            if len(levels) == 2 or levels[0] in (0.0, 1.0):
                gap = mask == 0
                ys, xs = gap.any(1).nonzero().flatten().tolist(), gap.any(0).nonzero().flatten().tolist()
                assert gap.sum() == len(ys) * len(xs)  # a rectangle without holes
                assert ys == list(range(ys[0], ys[-1] + 1)) if ys else True
                assert torch.equal(masked.images[row][:, gap], partner[:, gap])
                assert torch.equal(masked.images[row][:, ~gap], IMAGES[row][:, ~gap])
            else:
                (level,) = levels
                expected = level * IMAGES[row] + (1 - level) * partner
                torch.testing.assert_close(masked.images[row], expected, rtol=0, atol=1e-5)


def test_unmix_draws_its_kinds_and_lambdas_as_the_source_says() -> None:
    entry = MASKINGS.get("unmix")
    masking = entry(entry.Settings(per_sample=True), 32)  # type: ignore[call-arg]
    masks = masking.draw(4000, (32, 32), torch.Generator().manual_seed(0))  # type: ignore[attr-defined]
    whole = masks.flatten(1).std(1) == 0
    assert abs(whole.float().mean().item() - 0.5) < 0.03
    level = masks[whole].mean((1, 2, 3))
    assert abs(level.mean().item() - 0.5) < 0.03  # U(0, 1)
    assert abs(level.std().item() - 12**-0.5) < 0.02
    # A box of share s = 1 - lambda centred anywhere keeps on average (1 - sqrt(s) / 4)^2 of itself inside.
    share = torch.linspace(0, 1, 10001, dtype=torch.float64)
    expected = 1 - (share * (1 - share.sqrt() / 4) ** 2).mean().item()
    assert abs(masks[~whole].mean().item() - expected) < 0.03
    one = entry(entry.Settings(), 32)  # type: ignore[call-arg]
    shared = one.draw(6, (32, 32), torch.Generator().manual_seed(1))  # type: ignore[attr-defined]
    assert (shared == shared[:1]).all()


def test_unmix_and_mixmask_are_two_branches_of_different_masks() -> None:
    entry = MASKINGS.get("unmix+mixmask")
    branches = entry(entry.Settings(), 32)(IMAGES, torch.Generator().manual_seed(0))
    assert [masked.name for masked in branches] == ["unmix", "mixmask"]
    assert not torch.equal(branches[0].images, branches[1].images)


def test_uniform_stays_in_its_range() -> None:
    numbers = uniform((5000,), -2.0, 3.0, torch.Generator().manual_seed(0))
    assert -2 <= numbers.min().item() < -1.9
    assert 2.9 < numbers.max().item() < 3
