"""Which pictures are one picture, and which only look alike."""

import cv2
import numpy as np
import pandas as pd
import pytest

from keras_med.data import hashes, neighbours, twins


def picture(seed: int, size: int = 128) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(size, size)).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), size / 20), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def prepared(pictures: list[np.ndarray], **columns: list) -> tuple[pd.DataFrame, np.ndarray]:
    resized = [cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA)[..., None] for image in pictures]
    described = [hashes.describe(image, small) for image, small in zip(pictures, resized, strict=True)]
    found, thumbnails = zip(*described, strict=True)
    table = pd.DataFrame({"id": [f"image{number}" for number in range(len(found))]}).join(pd.DataFrame(found))
    return table.assign(**columns), np.stack(thumbnails)


def joined(found: twins.Twins) -> set[tuple[int, int, str]]:
    return {(int(row.first), int(row.second), str(row.kind)) for row in found.pairs.itertuples()}


CHANGES = {
    "jpeg": lambda image: cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], 0),
    "resized": lambda image: cv2.resize(image, None, fx=0.9, fy=0.9, interpolation=cv2.INTER_AREA),
    "brighter": lambda image: np.clip(image * 1.1, 0, 255).astype(np.uint8),
    "darker": lambda image: (image * 0.9).astype(np.uint8),
    "mirrored jpeg": lambda image: CHANGES["jpeg"](np.ascontiguousarray(image[:, ::-1])),
    "turned jpeg": lambda image: CHANGES["jpeg"](np.ascontiguousarray(np.rot90(image))),
    "turned and mirrored": lambda image: CHANGES["darker"](np.rot90(image, 3)[:, ::-1]),
}


def test_a_mirrored_picture_is_a_twin_and_the_group_is_named_by_its_first_row():
    first, other = picture(0), picture(1)
    found = twins.find_twins(*prepared([other, first, first[:, ::-1], np.rot90(first), first.copy()]))
    assert joined(found) == {(1, 2, "mirrored"), (1, 3, "mirrored"), (1, 4, "identical")}
    assert found.group.tolist() == [0, 1, 1, 1, 1]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_among_strangers(change):
    pictures = [picture(seed) for seed in range(30)]
    copies = [CHANGES[change](image) for image in pictures[:10]]
    found = twins.find_twins(*prepared(pictures + copies))
    assert joined(found) == {(number, 30 + number, "near") for number in range(10)}


def test_near_twins_need_the_thumbnails_and_identical_ones_do_not():
    first = picture(0)
    table, _ = prepared([first, CHANGES["jpeg"](first), first])
    assert joined(twins.find_twins(table, None)) == {(0, 2, "identical")}


def test_constant_pictures_are_nobodys_twins():
    black = np.zeros((50, 50), np.uint8)
    found = twins.find_twins(*prepared([black, black, picture(0)]))
    assert found.pairs.empty
    assert found.group.tolist() == [0, 1, 2]


def test_near_twins_of_one_patient_are_no_finding():
    first = picture(0)
    pictures = [first, CHANGES["jpeg"](first), CHANGES["darker"](first)]
    found = twins.find_twins(*prepared(pictures, patient=["a", "a", "b"]))
    assert {pair[:2] for pair in joined(found)} == {(0, 2), (1, 2)}
    unknown = twins.find_twins(*prepared(pictures, patient=[None, None, "b"]))
    assert {pair[:2] for pair in joined(unknown)} == {(0, 1), (0, 2), (1, 2)}


@pytest.mark.parametrize(("patients", "believed"), [(["a", "b", "c", "c"], True), (["a", "b", "c", "d"], False)])
def test_a_group_that_joins_more_than_three_patients_is_not_applied(patients, believed):
    first = picture(0)
    copies = [first, CHANGES["jpeg"](first), CHANGES["darker"](first), CHANGES["resized"](first)]
    found = twins.find_twins(*prepared(copies, patient=patients))
    assert (len(set(found.group)) == 1) == believed
    assert [members.tolist() for members in found.refused] == ([] if believed else [[0, 1, 2, 3]])


def test_in_a_refused_group_equal_pixels_still_stay_together():
    first = picture(0)
    pictures = [first, CHANGES["jpeg"](first), CHANGES["darker"](first), CHANGES["resized"](first), first]
    found = twins.find_twins(*prepared(pictures, patient=list("abcde")))
    assert found.group.tolist() == [0, 1, 2, 3, 0]


def test_a_group_of_more_than_a_twentieth_of_the_table_is_not_applied():
    first = picture(0, 64)
    shades = [np.clip(first * (0.8 + 0.01 * step), 0, 255).astype(np.uint8) for step in range(11)]
    others = [picture(seed, 64) for seed in range(1, 30)]
    found = twins.find_twins(*prepared(shades + others))
    assert [len(members) for members in found.refused] == [11]
    assert len(set(found.group)) == 40


def test_proposals_are_exactly_the_pairs_that_counting_every_bit_finds():
    random = np.random.default_rng(7)
    seeds = random.integers(0, 2**64, 40, np.uint64)
    noise = np.packbits(random.random((500, 64)) < 0.12, axis=1).view(">u8")[:, 0].astype(np.uint64)
    codes = seeds[random.integers(0, 40, 500)] ^ noise
    codes = hashes.turned_hashes(codes)[random.integers(0, 8, 500), np.arange(500)]
    expected = set()
    for turn, turned in enumerate(hashes.turned_hashes(codes)):
        apart = np.bitwise_count(codes[:, None] ^ turned[None])
        first, second = np.nonzero(np.triu(apart <= 12, 1))
        expected |= {(int(one), int(other), turn) for one, other in zip(first, second, strict=True)}
    proposed = [tuple(map(int, row)) for part in neighbours.propose(codes) for row in part]
    assert len(expected) > 500
    assert sorted(proposed) == sorted(expected)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_hashes_propose_nothing(count):
    assert list(neighbours.propose(np.zeros(count, np.uint64))) == []


def test_alignment_finds_a_small_crop_and_keeps_strangers_apart():
    first, stranger = picture(3), picture(4)
    crop = cv2.resize(first[4:-4, 4:-4], (128, 128), interpolation=cv2.INTER_LINEAR)
    small = [hashes.thumbnail(hashes.shrunk(image[..., None])) for image in (first, crop, stranger)]
    assert twins.aligned_correlation(small[0], small[1]) > 0.95
    assert twins.aligned_correlation(small[0], small[2]) < 0.8
