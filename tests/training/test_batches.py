import pytest
import torch

from bench.data.tasks import Task, load_task
from bench.errors import InputError
from bench.noise import Noise
from bench.training.batches import EvaluationBlocks, Grouped, Place, TaskDataModule, TrainingBatches


def epoch_of(seed=1, epoch=0, rank=0, world=1, task=Task("digits"), batch_size=100):
    batches = TrainingBatches(
        load_task(task), batch_size, seed, lambda: epoch, Place(rank=rank, world=world)
    )
    return list(batches)


def test_an_epoch_is_a_permutation_less_the_incomplete_batch():
    batches = epoch_of()
    index = torch.cat([index for _, index in batches])
    assert len(batches) == 11 and len(index.unique()) == 1100
    data = load_task(Task("digits"))
    assert all(torch.equal(y, data.train[index]) for y, index in batches)


def test_order_depends_on_seed_and_epoch_alone():
    first, again = epoch_of(), epoch_of()
    assert all(torch.equal(a[1], b[1]) for a, b in zip(first, again))
    assert not torch.equal(first[0][1], epoch_of(epoch=1)[0][1])
    assert not torch.equal(first[0][1], epoch_of(seed=2)[0][1])


@pytest.mark.parametrize("task", [Task("digits"), Task("digits", "dynamic")])
def test_ranks_share_out_each_batch(task):
    alone = epoch_of(task=task)
    ranks = [epoch_of(rank=r, world=2, task=task) for r in range(2)]
    for whole, *parts in zip(alone, *ranks):
        assert torch.equal(whole[0], torch.cat([y for y, _ in parts]))
        assert torch.equal(whole[1], torch.cat([index for _, index in parts]))


def test_dynamic_binarization_follows_the_grey_values():
    task = Task("digits", "dynamic")
    data, total = load_task(task), torch.zeros(1197, 64)
    epochs = 60
    counts = torch.zeros(1197, 1)
    for epoch in range(epochs):
        for y, index in epoch_of(epoch=epoch, task=task):
            assert y.max() <= 1
            total[index] += y
            counts[index] += 1
    probability = data.intensities / 16
    deviation = (total / counts - probability) / (
        probability * (1 - probability) / counts
    ).sqrt().clamp(min=1e-6)
    inside = (probability > 0) & (probability < 1)
    assert (total[probability == 0] == 0).all()
    assert (total == counts)[probability == 1].all()
    assert abs(deviation[inside].square().mean() - 1) < 0.05


def test_the_dynamic_draw_has_the_noise_of_its_name_seed_and_epoch():
    """Published runs are of this stream: a 16-bit word below grey / largest gives a 1."""
    task = Task("digits", "dynamic")
    y, index = epoch_of(seed=7, epoch=3, task=task)[0]
    words = Noise(7, "binarization", 3).words(100, 64).double() + 2**15
    grey = load_task(task).intensities[index].double()
    assert torch.equal(y == 1, (words < 2**16 * grey / 16) | (grey == 16))


def test_every_mini_batch_is_handed_out_once():
    batches = TrainingBatches(load_task(Task("digits")), 10, 1, lambda: 0)
    groups = Grouped(batches, 50)
    handed = [list(group.batches()) for group in groups]
    assert len(handed) == len(groups) == 3 and len(batches) == 119
    assert [len(some) for some in handed] == [50, 50, 19]
    for ours, theirs in zip((batch for some in handed for batch in some), batches, strict=True):
        assert torch.equal(ours.indices, theirs.indices)
        assert torch.equal(ours.images, theirs.images)


def test_groups_of_an_epoch_draw_the_noise_of_single_batches():
    epochs = [0]
    batches = TrainingBatches(load_task(Task("digits", "dynamic")), 100, 1, lambda: epochs[0])
    groups = Grouped(batches, 4)
    for epochs[0] in (0, 1, 0):
        handed = [batch.images for group in groups for batch in group.batches()]
        for ours, theirs in zip(handed, batches, strict=True):
            assert torch.equal(ours, theirs.images)


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_evaluation_blocks_count_every_datum_once(world):
    """And the number of a rank's batch, by which its noise is drawn, is that of the block."""
    images = torch.arange(1197)[:, None]
    blocks = {}
    for rank in range(world):
        for batch_idx, batch in enumerate(EvaluationBlocks(images, Place("cpu", rank, world))):
            blocks[batch_idx * world + rank] = batch.images
    assert torch.equal(torch.cat([blocks[number] for number in sorted(blocks)]), images)
    assert all(torch.equal(blocks[n], part) for n, part in enumerate(images.split(100)))


def test_each_loader_has_the_images_of_its_split():
    """Digits' splits for validation and test have as many images, so only the images tell them apart."""
    module = TaskDataModule("digits-17")
    joined = lambda loader: torch.cat([batch.images for batch in loader])
    assert joined(module.val_dataloader()).equal(module.data.validation)
    assert joined(module.test_dataloader()).equal(module.data.test)
    assert not module.data.validation.equal(module.data.test)
    first = next(iter(module.train_dataloader()))
    assert first.images.equal(module.data.train[first.indices])


def test_batch_sizes_that_cannot_work_are_refused():
    with pytest.raises(InputError, match="batch_size: 101 cannot be shared out"):
        epoch_of(batch_size=101, world=2)
    with pytest.raises(InputError, match="more than the 1197"):
        epoch_of(batch_size=1198)
