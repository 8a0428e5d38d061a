"""Mutations of the readers of real data: what is read, in which order, and what a network takes of it."""

from __future__ import annotations

from mutation import Mutation

DATASETS = "gsdd_runtime/datasets"
CIFAR = f"{DATASETS}/cifar.py"

PACKED = "gsdd_runtime/datasets/packed.py"
LISTING = "gsdd_runtime/datasets/archive_listing.py"
ARCHIVES = "test_datasets_archives.py"

FOREIGN = "gsdd_runtime/sets/foreign_tensors.py"

MUTATIONS = [
    Mutation(
        "computes with tensors that repeat a few numbers to gigabytes",
        FOREIGN,
        "if self._size > most:",
        "if False:",
        ("test_foreign_sets.py::test_tensors_that_are_not_what_they_seem_are_refused_in_a_line",),
    ),
    Mutation(
        "asks for no more memory than a packed file has bytes",
        FOREIGN,
        "max(status.st_size, _unpacked(path))",
        "status.st_size",
        ("test_foreign_sets.py::test_what_a_packed_file_unpacks_to_is_asked_before_it_is_unpacked",),
    ),
    Mutation(
        "follows a name out of an archive",
        PACKED,
        'or ".." in inner.parts or',
        "or",
        (f"{ARCHIVES}::test_what_an_archive_may_not_hold",),
    ),
    Mutation(
        "seeks to where a tar's header says, however far beyond the end",
        LISTING,
        '        if not wanted:\n            return b""\n',
        "",
        (f"{ARCHIVES}::test_a_size_that_no_file_has_is_refused",),
    ),
    Mutation(
        "takes what follows a damaged header of a tar for nothing",
        LISTING,
        "if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):",
        "if False:",
        (f"{ARCHIVES}::test_a_damaged_archive_is_named",),
    ),
    Mutation(
        "reads a picture at the place of another archive within",
        LISTING,
        "Entry(offset + member.offset_data, member.size)",
        "Entry(member.offset_data - offset, member.size)",
        ("test_datasets_imagenet.py::test_imagenet_is_read_out_of_its_archives",),
    ),
    Mutation(
        "takes any number for that of a class of ImageNet",
        f"{DATASETS}/imagenet.py",
        "not number.is_integer()",
        "False",
        ("test_datasets_imagenet.py::test_classes_that_are_not_as_they_should_be_are_refused",),
    ),
    Mutation(
        "takes the coarse labels of CIFAR-100",
        CIFAR,
        '"cifar-100-binary", "cifar-100-binary.tar.gz", ("train.bin",), "test.bin", "fine_label_names.txt", 1, 2',
        '"cifar-100-binary", "cifar-100-binary.tar.gz", ("train.bin",), "test.bin", "fine_label_names.txt", 0, 2',
        ("test_datasets_cifar.py::test_every_form_of_the_archive_gives_the_same_data",),
    ),
    Mutation(
        "runs what a pickle names",
        f"{DATASETS}/plain_pickle.py",
        "        if kind is None:\n",
        "        if kind is None and module == 'os':\n"
        "            __import__('os').mkdir(self._where)\n        if kind is None:\n",
        ("test_plain_pickle.py::test_nothing_is_run",),
    ),
    Mutation(
        "forgets the label in the fingerprint of an image",
        f"{DATASETS}/statistics.py",
        'digest = hashlib.sha256(label.to_bytes(8, "little"))',
        "digest = hashlib.sha256()",
        ("test_datasets_sample.py::test_the_fingerprint_is_what_the_documentation_says_and_knows_no_order",),
        short=True,
    ),
    Mutation(
        "goes on with the same data in another order",
        "gsdd_runtime/datasets/real_data.py",
        "rest = [self.order, None",
        "rest = [None",
        ("test_distill_checkpoint.py::test_the_same_data_in_another_order_or_normalised_otherwise_is_refused",),
    ),
    Mutation(
        "whitens by the covariance of M and not M - 1",
        f"{DATASETS}/whitening.py",
        "/ (count - 1) /",
        "/ count /",
        ("test_datasets_whitening.py::test_the_formula_is_that_of_kornia",),
    ),
    Mutation(
        "distills without the whitening of the data",
        "gsdd_runtime/datasets/real_data.py",
        "self.mean, self.std, self.zca)",
        "self.mean, self.std)",
        ("test_datasets_whitening.py::test_real_data_and_sets_made_of_it_are_whitened_alike",),
        short=True,
    ),
    Mutation(
        "takes mean and std of the data where a whitening matrix was left out",
        "gsdd_runtime/evaluation/accuracy.py",
        "    if is_left_out(distilled_set):\n",
        "    if False:\n",
        ("test_datasets_whitening.py::test_a_matrix_that_is_left_out_is_fitted_again",),
    ),
    Mutation(
        "takes a subset of classes in the order of their folders",
        f"{DATASETS}/folder_layout.py",
        "{one.key: there[one.key] for one in chosen}",
        "{key: there[key] for key in sorted(one.key for one in chosen)}",
        ("test_datasets_classes.py::test_a_subset_is_read_in_its_published_order_from_either_kind_of_folder",),
    ),
    Mutation(
        "keeps decoded pictures of files that were changed since",
        f"{DATASETS}/cache.py",
        "{status.st_size} {status.st_mtime_ns}",
        "{status.st_size}",
        ("test_datasets_cache.py::test_a_file_of_the_same_size_at_another_time_is_another",),
    ),
    Mutation(
        "keeps pictures of one size for another",
        f"{DATASETS}/image_folder.py",
        '"size": self.size, "channels"',
        '"channels"',
        ("test_datasets_cache.py::test_each_way_of_reading_has_an_entry_of_its_own",),
    ),
    Mutation(
        "gives test images the labels of training images",
        f"{DATASETS}/image_folder.py",
        "(images[count:], _labels(self.layout.test))",
        "(images[count:], _labels(self.layout.train)[: len(images) - count])",
        ("test_datasets_image_folder.py::test_train_and_test_folders",),
    ),
    Mutation(
        "reads the digit 0 of SVHN as class 10",
        f"{DATASETS}/svhn.py",
        "flat.astype(np.int64) % 10",
        "flat.astype(np.int64) - 1",
        ("test_datasets_files.py::test_svhn_is_read_from_its_mat_files",),
    ),
    Mutation(
        "gives Hugging Face's test split to train on",
        f"{DATASETS}/items.py",
        'return dataset["train"], next(',
        'return dataset["validation" if "validation" in dataset else "train"], next(',
        ("test_datasets_arrays.py::test_columns_are_named_and_splits_are_found",),
    ),
    Mutation(
        "evaluates again whatever the lists of a document hold",
        "gsdd_runtime/commands/repeating.py",
        "            if not fits(one):\n",
        "            if False:\n",
        ("test_comparison.py::test_a_document_that_was_edited_is_refused",),
    ),
    Mutation(
        "takes data options of any type from a document",
        "gsdd_runtime/commands/protocol.py",
        "if not isinstance(value, types[name])",
        "if False",
        ("test_comparison.py::test_a_document_that_was_edited_is_refused",),
    ),
    Mutation(
        "compares with results that are no numbers",
        "gsdd_runtime/commands/repeating.py",
        "isinstance(mean, float) and math.isfinite(mean)",
        "float(mean) > 0",
        ("test_comparison.py::test_results_that_are_no_numbers_are_refused",),
    ),
]
