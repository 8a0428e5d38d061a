"""Mutations of loading: the order of an epoch, ranks, resuming, augmentation, prefetching, map-style datasets."""

from __future__ import annotations

from mutation import Mutation

LOADER = "gsdd_runtime/loading/loader.py"
MAP = "gsdd_runtime/loading/map_dataset.py"
PREFETCH = "gsdd_runtime/loading/prefetch.py"
SAMPLING = "gsdd_runtime/loading/sampling.py"
DALI = "gsdd_runtime/loading/dali.py"
OPENING = "gsdd_runtime/loading/opening.py"

GOES_ON = ("test_loader.py::test_goes_on_in_the_middle",)
EPOCHS = ("test_loader.py::test_shuffled_epochs_differ_and_repeat",)
AUGMENTED = ("test_loader.py::test_each_image_of_each_batch_is_augmented_on_its_own",)

MUTATIONS = [
    Mutation(
        "shuffles every epoch alike",
        SAMPLING,
        'derived_generator(seed, "order", epoch)',
        'derived_generator(seed, "order", 0)',
        EPOCHS,
        short=True,
    ),
    Mutation(
        "shuffles alike whatever the seed",
        SAMPLING,
        'derived_generator(seed, "order", epoch)',
        'derived_generator(0, "order", epoch)',
        EPOCHS,
    ),
    Mutation(
        "gives every rank the same images",
        SAMPLING,
        "return order[rank::world_size]",
        "return order[0::world_size]",
        ("test_loader.py::test_ranks_share_the_set",),
        short=True,
    ),
    Mutation(
        "fills an epoch up from its end",
        SAMPLING,
        "order[: missing % length]",
        "order[length - missing % length :]",
        ("test_sampling.py::test_an_epoch_is_filled_up_from_its_own_start",),
    ),
    Mutation(
        "drops no batch that is not whole",
        SAMPLING,
        "        order = order[: length // whole * whole]\n",
        "        order = order[:length]\n",
        ("test_sampling.py::test_whole_batches_only",),
    ),
    Mutation(
        "ignores that shuffling is off",
        LOADER,
        "                shuffle=self.shuffle,\n                drop_last",
        "                shuffle=True,\n                drop_last",
        ("test_loader.py::test_an_epoch_is_the_set_once",),
    ),
    Mutation(
        "sees the last batch again after resuming",
        LOADER,
        "                self._epoch, self._position = self._after(place)\n                yield batch",
        "                yield batch\n                self._epoch, self._position = self._after(place)",
        GOES_ON,
        short=True,
    ),
    Mutation(
        "resumes from the start of the epoch",
        LOADER,
        "self._epoch, self._position, self._resumed = epoch, position, True",
        "self._epoch, self._position, self._resumed = epoch, 0, True",
        GOES_ON,
    ),
    Mutation(
        "resumes in the next epoch",
        LOADER,
        "self._epoch, self._position, self._resumed = epoch, position, True",
        "self._epoch, self._position, self._resumed = epoch, position, False",
        ("test_loader.py::test_resuming_finishes_the_epoch",),
    ),
    Mutation(
        "takes the state of another set",
        LOADER,
        '            "set": self._digest,\n',
        "",
        ("test_loader.py::test_a_state_of_another_run_is_refused",),
    ),
    Mutation(
        "takes the state of another world size",
        LOADER,
        '            "world_size": self.world_size,\n',
        "",
        ("test_loader.py::test_a_state_of_another_share_is_refused",),
    ),
    Mutation(
        "repeats an abandoned epoch",
        LOADER,
        "            self._epoch, self._position = self._epoch + 1, 0\n",
        "            self._epoch, self._position = self._epoch, 0\n",
        ("test_loader.py::test_an_abandoned_epoch_counts_as_seen",),
    ),
    Mutation(
        "augments a whole batch by one amount",
        LOADER,
        "return dsa(images, torch.Generator().manual_seed(seed)), labels",
        "return dsa(images, torch.Generator().manual_seed(seed), shared=True), labels",
        AUGMENTED,
        short=True,
    ),
    Mutation(
        "augments every batch alike",
        LOADER,
        'derived_seed(self.seed, "augment", place.epoch, place.position, self.rank)',
        'derived_seed(self.seed, "augment", 0, 0, self.rank)',
        AUGMENTED,
    ),
    Mutation(
        "augments alike on every rank",
        LOADER,
        'derived_seed(self.seed, "augment", place.epoch, place.position, self.rank)',
        'derived_seed(self.seed, "augment", place.epoch, place.position)',
        ("test_loader.py::test_ranks_augment_differently",),
    ),
    Mutation(
        "does not hand the images' form to the decoder",
        LOADER,
        "self.decoder = open_decoder(decoder, self._source, **form)",
        "self.decoder = open_decoder(decoder, self._source, device=self.device, normalize=normalize)",
        ("test_loader.py::test_formats",),
    ),
    Mutation(
        "does not normalise",
        LOADER,
        '"channels_last": channels_last, "normalize": normalize, "size": size,',
        '"channels_last": channels_last, "normalize": False, "size": size,',
        ("test_loader.py::test_an_epoch_is_the_set_once",),
        short=True,
    ),
    Mutation(
        "finds no rank by itself",
        LOADER,
        "return torch.distributed.get_rank(), torch.distributed.get_world_size()",
        "return 0, 1",
        ("test_loader_processes.py::test_ranks_are_found",),
    ),
    Mutation(
        "ignores steps",
        LOADER,
        "count = self._batches_from(self._position)",
        "count = self.batches_per_epoch - self._position",
        GOES_ON,
    ),
    Mutation(
        "hands an image the label of its place in the batch",
        MAP,
        "pairs = zip(images, self.distilled_set.labels[chosen], strict=True)",
        "pairs = zip(images, self.distilled_set.labels[: len(chosen)], strict=True)",
        ("test_map_dataset.py::test_in_a_dataloader",),
        short=True,
    ),
    Mutation(
        "does not normalise the images of a map-style dataset",
        MAP,
        "normalize=self._normalize, dtype=self._dtype)",
        "normalize=False, dtype=self._dtype)",
        ("test_map_dataset.py::test_in_a_dataloader",),
    ),
    Mutation(
        "ignores dtype and size of a map-style dataset",
        MAP,
        "self.distilled_set.decode(chosen, height, width, normalize=self._normalize, dtype=self._dtype)",
        "self.distilled_set.decode(chosen, normalize=self._normalize)",
        ("test_map_dataset.py::test_samples_have_the_size_and_dtype_that_were_asked_for",),
    ),
    Mutation(
        "sends a whole set to every worker",
        MAP,
        'state["_set"], state["_identity"] = None, self._set.identity',
        "pass",
        ("test_map_dataset.py::test_travels_by_path",),
    ),
    Mutation(
        "forgets channels_last of an exported decoder",
        OPENING,
        "self._layout = torch.channels_last if channels_last else torch.contiguous_format",
        "self._layout = torch.contiguous_format",
        ("test_loader_exported.py",),
    ),
    Mutation(
        "waits for the device at every copy",
        "gsdd_runtime/devices.py",
        "tensor.pin_memory().to(device, non_blocking=True)",
        "tensor.to(device)",
        ("test_prefetch.py::test_the_host_never_waits",),
        short=True,
    ),
    Mutation(
        "copies the amounts of augmentation from ordinary memory",
        "gsdd_runtime/training/augmentation.py",
        "send(self.amounts, images.device)",
        "self.amounts.to(images.device)",
        ("test_prefetch.py::test_no_kind_of_augmentation_waits",),
    ),
    Mutation(
        "uses a batch before the side stream has decoded it",
        PREFETCH,
        "        current.wait_event(event)\n",
        "",
        ("test_prefetch.py::test_streams_wait_for_each_other",),
        short=True,
    ),
    Mutation(
        "decodes before the consumer's stream has written what is decoded",
        PREFETCH,
        "    side.wait_stream(torch.cuda.current_stream(device))\n",
        "",
        ("test_prefetch.py::test_streams_wait_for_each_other",),
    ),
    Mutation(
        "lets the side stream reuse the memory of a batch in use",
        PREFETCH,
        "tensor.record_stream(current)",
        "pass",
        ("test_prefetch.py::test_depth_batches_are_decoded_ahead_on_a_side_stream",),
    ),
    Mutation(
        "raises a failure before the good batches are handed out",
        PREFETCH,
        "failures.append(error)",
        "raise",
        ("test_prefetch.py::test_good_batches_are_handed_out_before_a_failure",),
    ),
    Mutation(
        "leaves the labels of a user's decoder on the CPU",
        LOADER,
        "placed(self.decoder.decode(place.indices), self.device)",
        "self.decoder.decode(place.indices)",
        ("test_prefetch.py::test_a_decoder_with_labels_on_the_cpu_serves",),
    ),
    Mutation(
        "says that a resumed loop is a whole epoch",
        LOADER,
        "self._batches_from(self._position if self._resumed else 0)",
        "self._batches_from(0)",
        ("test_loader.py::test_the_length_is_that_of_the_loop",),
    ),
    Mutation(
        "refuses negative indices of a map-style dataset",
        MAP,
        "[n + count if -count <= n < 0 else n for n in indices]",
        "list(indices)",
        ("test_map_dataset.py::test_negative_indices_count_from_the_end",),
    ),
    Mutation(
        "takes a state of another set for a pipeline of DALI",
        DALI,
        '"set": content_digest(distilled), "batch_size"',
        '"batch_size"',
        ("test_dali_pipeline.py::test_what_is_refused",),
    ),
    Mutation(
        "feeds DALI whitened images as if they were plain",
        DALI,
        "if normalize and distilled.preparation.zca is not None:",
        "if False:",
        ("test_dali_pipeline.py::test_a_whitened_set_is_refused_and_fed_plain",),
    ),
    Mutation(
        "keeps every batch that it has handed out",
        "gsdd_runtime/loading/loader.py",
        "                self._epoch, self._position = self._after(place)\n",
        "                self._epoch, self._position = self._after(place)\n"
        "                self.__dict__.setdefault('kept', []).append(batch)\n",
        ("test_distilled_set_large.py::test_epochs_of_batches_grow_no_memory_no_threads_and_no_descriptors",),
    ),
    Mutation(
        "leaves a mapped file open with every batch",
        "gsdd_runtime/sets/source.py",
        "        status = os.fstat(self._descriptor)\n        if status.st_size < self.identity.size:\n"
        "            raise",
        "        status = os.fstat(os.dup(self._descriptor))\n        if status.st_size < self.identity.size:\n"
        "            raise",
        ("test_distilled_set_large.py::test_epochs_of_batches_grow_no_memory_no_threads_and_no_descriptors",),
    ),
]
