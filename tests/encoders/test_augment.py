from __future__ import annotations

import torch

from encoders.training.augment import AUGMENTED, NO_AUGMENTATION, Augmentation, augment_images
from encoders.training.checkpoint import step_generator


def images() -> torch.Tensor:
    return torch.randint(0, 256, (6, 1, 32, 32), generator=step_generator(0, 0)).byte()


def test_without_augmentation_pixels_are_only_scaled() -> None:
    out = augment_images(images(), NO_AUGMENTATION, step_generator(0, 0))
    torch.testing.assert_close(out, images().float() / 255)


def test_the_same_step_draws_the_same_and_another_step_does_not() -> None:
    one = augment_images(images(), AUGMENTED, step_generator(3, 7))
    torch.testing.assert_close(one, augment_images(images(), AUGMENTED, step_generator(3, 7)))
    assert not torch.equal(one, augment_images(images(), AUGMENTED, step_generator(3, 8)))
    assert not torch.equal(one, augment_images(images(), AUGMENTED, step_generator(4, 7)))


def test_values_stay_in_range() -> None:
    strong = Augmentation(0.5, 45, 0.3, 0.5, 0.9, 0.5, 0.4)
    out = augment_images(images(), strong, step_generator(0, 1))
    assert out.shape == (6, 1, 32, 32)
    assert 0 <= float(out.min()) <= float(out.max()) <= 1


def test_left_stays_left() -> None:
    left = torch.zeros(200, 1, 32, 32, dtype=torch.uint8)
    left[..., 4:12] = 255
    out = augment_images(left, AUGMENTED, step_generator(0, 2))
    assert (out[..., :16].sum(dim=(1, 2, 3)) > 3 * out[..., 16:].sum(dim=(1, 2, 3))).all()


def test_only_the_asked_share_of_the_images_is_moved() -> None:
    many = images().repeat(60, 1, 1, 1)
    only_moving = Augmentation(brightness=0, contrast=0, noise=0, share=0.3)
    out = augment_images(many, only_moving, step_generator(0, 4))
    moved = (out - many.float() / 255).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert 0.2 < float(moved.float().mean()) < 0.4


def test_cutout_hides_a_square_of_the_asked_share() -> None:
    only_cutout = Augmentation(0, 0, 0, 0, 0, 0, cutout=0.5)
    plain = images().float() / 255
    changed = augment_images(images(), only_cutout, step_generator(0, 3)) != plain
    share = changed.float().mean(dim=(1, 2, 3))
    assert (share <= 0.27).all()
    assert (share > 0.04).all()
